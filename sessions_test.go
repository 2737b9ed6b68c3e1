package spate_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"regexp"
	"testing"

	"github.com/spate-io/spate"
	"github.com/spate-io/spate/internal/mqttclient"
	"github.com/spate-io/spate/protocol/mqtt/packet"
	"github.com/spate-io/spate/store/memstore"
)

// A session is seen and ended over HTTP: its client is told why, and what watches devices too.
func TestSessionsOverHTTP(t *testing.T) {
	o := quiet()
	store := memstore.New(memstore.Options{})
	t.Cleanup(func() { _ = store.Close() })
	o.Store = store
	app := spate.New(o)
	devices, web := listen(t, app, "mqtt://127.0.0.1:0"), listen(t, app, "http://127.0.0.1:0")
	run(t, app)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	watcher := dialDevice(ctx, t, "mqtt://"+devices.String(), mqttclient.Options{ClientID: "watcher"})
	if _, err := watcher.Subscribe(ctx, packet.Subscription{Filter: "$devices/fan/presence", QoS: 1}); err != nil {
		t.Fatal(err)
	}
	fan := dialDevice(ctx, t, "mqtt://"+devices.String(), mqttclient.Options{ClientID: "fan", Resume: true, SessionExpiry: 60})
	if _, err := fan.Subscribe(ctx, packet.Subscription{Filter: "a/+", QoS: 2}); err != nil {
		t.Fatal(err)
	}
	ask := func(method, path string, status int, want string) {
		t.Helper()
		r, err := http.NewRequestWithContext(ctx, method, "http://"+web.String()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if err != nil || answer.StatusCode != status || !regexp.MustCompile("^"+want).Match(text) {
			t.Errorf("%s %s: %d %s, %v, want %d %s", method, path, answer.StatusCode, text, err, status, want)
		}
	}
	one := `\{"client":"fan","connected":true,"address":"127\.0\.0\.1:\d+","version":"5\.0","since":"20[^"]+Z","expiry":60,"subscriptions":1,"queued":0,"inflight":0`
	ask("GET", "/v1/sessions?limit=1", http.StatusOK, `\{"sessions":\[`+one+`\}\],"after":"fan"\}`)
	ask("GET", "/v1/sessions/fan", http.StatusOK, one+`,"filters":\[\{"filter":"a/\+","qos":2\}\]\}`)
	ask("DELETE", "/v1/sessions/fan", http.StatusNoContent, "$")
	ask("DELETE", "/v1/sessions/fan", http.StatusNotFound, `\{"type":"/v1/problems/not-found"`)
	ask("GET", "/v1/sessions/fan", http.StatusNotFound, `\{"type":"/v1/problems/not-found"`)
	_, err := fan.Receive(ctx)
	if end, ok := errors.AsType[*mqttclient.DisconnectedError](err); !ok || end.Code != packet.AdministrativeAction {
		t.Errorf("the client was told %v", err)
	}
	for _, want := range []string{`"state":"online"`, `"state":"offline".*"reason":"killed"`} {
		m, err := watcher.Receive(ctx)
		if err != nil || !regexp.MustCompile(want).Match(m.Payload) {
			t.Errorf("the device is told of with %s, %v, want %s", m.Payload, err, want)
		}
	}
}
