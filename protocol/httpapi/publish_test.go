package httpapi_test

import (
	"encoding/json"
	"net/http"
	"testing"
)

func TestPublishAndSubscribeLive(t *testing.T) {
	k := startAPI(t, setup{}, "orders orders/#")
	l := k.listen("/v1/subscribe?filter=orders/%2B")
	got := k.send("POST", "/v1/publish/orders/new", `{"n":1}`, "Content-Type: application/json", "Spate-Key: a", "Spate-Header-Shop: 7").want(t, http.StatusOK)
	if got["receivers"] != 1.0 || got["subject"] != "orders/new" {
		t.Error(got)
	}
	var e map[string]any
	if err := json.Unmarshal([]byte(l.event().data), &e); err != nil {
		t.Fatal(err)
	}
	if e["id"] != got["id"] || e["subject"] != "orders/new" || e["partitionkey"] != "a" || e["shop"] != "7" || e["data"].(map[string]any)["n"] != 1.0 {
		t.Error(e)
	}
	k.send("POST", "/v1/publish/elsewhere", "x").want(t, http.StatusAccepted)
}
