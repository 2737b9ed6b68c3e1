package httpapi_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/spate-io/spate/store"
	"github.com/spate-io/spate/store/memstore"
)

// A backup that was read over HTTP holds what the store held.
func TestBackup(t *testing.T) {
	k := startAPI(t, setup{}, "orders orders/#")
	k.publish("orders/1", "one")
	got := k.ask("GET", "/v1/backup")
	if got.status != http.StatusOK || got.header.Get("Content-Type") != "application/octet-stream" {
		t.Fatalf("%d %s", got.status, got.header)
	}
	restored, err := memstore.Restore(bytes.NewReader([]byte(got.body)), memstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer restored.Close()
	n, err := store.Verify(t.Context(), restored, func(e *store.CorruptError) { t.Error(e) }, nil)
	if n != 1 || err != nil {
		t.Errorf("%d records, %v", n, err)
	}
}

// What is corrupt is reported with its place, and what is after it is read.
func TestVerify(t *testing.T) {
	k := startAPI(t, setup{}, "orders orders/#")
	for range 3 {
		k.publish("orders/1", "one")
	}
	if got := k.ask("GET", "/v1/verify"); got.body != `{"records":3,"done":true}`+"\n" {
		t.Errorf("%d %s", got.status, got.body)
	}
	all, err := k.store.Partitions(t.Context())
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	k.store.Corrupt(store.Position{Partition: all[0], Offset: 1})
	got := k.ask("GET", "/v1/verify")
	if !strings.Contains(got.body, `"stream":"orders"`) || !strings.Contains(got.body, `"offset":1,"records":1`) ||
		!strings.HasSuffix(got.body, `{"records":2,"done":true}`+"\n") {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// Both are for administrators, and for nodes that store something.
func TestBackupIsForAdministrators(t *testing.T) {
	k := startAPI(t, setup{auth: users(t)}, "orders orders/#")
	for _, path := range []string{"/v1/backup", "/v1/verify"} {
		k.ask("GET", path).wantProblem(t, http.StatusUnauthorized, "not-authenticated")
	}
}
