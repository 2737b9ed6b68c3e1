package httpapi_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/protocol/httpapi"
	"github.com/spate-io/spate/store"
	"github.com/spate-io/spate/stream"
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

// queue subscribes in Go.
func (k *apiKit) queue(filter string) *bus.Queue {
	k.t.Helper()
	q, err := k.bus.NewQueue(filter, bus.QueueOptions{})
	if err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(q.Close)
	return q
}

func (k *apiKit) next(q *bus.Queue) *event.Event {
	k.t.Helper()
	e, err := q.Next(k.t.Context())
	if err != nil {
		k.t.Fatal(err)
	}
	return e
}

// What the headers say is in the event.
func TestPublishHeaders(t *testing.T) {
	k := startAPI(t, setup{})
	q := k.queue("#")
	k.send("POST", "/v1/publish/a//b%2Fc%20d", "\xff\x00", "Content-Type: image/png", "Spate-Id: 01932c07-3f2e-7c1a-9d5b-0e6f8a2b4c6d", "Spate-Key: k",
		"Spate-Time: 2026-01-02T15:04:05.6+01:00", "Spate-Header-Two: 1", "Spate-Header-Two: 2",
		"Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").want(t, http.StatusAccepted)
	e := k.next(q)
	want := []event.Header{{Name: "content-type", Value: "image/png"}, {Name: "two", Value: "1"}, {Name: "two", Value: "2"},
		{Name: "traceparent", Value: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}}
	if e.Subject != "a//b/c d" || e.ID.String() != "01932c07-3f2e-7c1a-9d5b-0e6f8a2b4c6d" || e.Key != "k" || string(e.Data) != "\xff\x00" ||
		!e.Time.Equal(time.Date(2026, 1, 2, 14, 4, 5, 6e8, time.UTC)) || !slices.Equal(e.Headers, want) {
		t.Errorf("%+v", e)
	}
}

// The same Idempotency-Key is the same event, which a stream with a dedupe window takes once.
func TestPublishAgain(t *testing.T) {
	k := startAPI(t, setup{})
	if _, err := k.log.Create(t.Context(), stream.Config{Name: "once", Subjects: []string{"once"}, Dedupe: stream.Duration(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	first := k.send("POST", "/v1/publish/once", "x", "Idempotency-Key: order 7").want(t, 200)
	again := k.send("POST", "/v1/publish/once", "x", "Idempotency-Key: order 7").want(t, 200)
	other := k.send("POST", "/v1/publish/once", "x", "Idempotency-Key: order 8").want(t, 200)
	if first["id"] != again["id"] || first["id"] == other["id"] {
		t.Error(first, again, other)
	}
	if first["duplicates"] != nil || other["duplicates"] != nil || fmt.Sprint(again["duplicates"]) != "[map[offset:0 partition:0 stream:once]]" || again["receivers"] != 0.0 {
		t.Error(first, again, other)
	}
	ce := `{"specversion":"1.0","id":"7","source":"/a","type":"t","subject":"once"}`
	for again := range 2 {
		got := k.send("POST", "/v1/events", ce, "Content-Type: application/cloudevents+json").want(t, 200)
		told := got["events"].([]any)[0].(map[string]any)
		if told["ce_id"] != "7" || (told["duplicates"] != nil) != (again == 1) {
			t.Error(got)
		}
	}
	batch := `[` + ce + `,{"specversion":"1.0","id":"8","source":"/a","type":"t","subject":"once"},{"specversion":"1.0","id":"8","source":"/a","type":"t","subject":"once"}]`
	got := k.send("POST", "/v1/events", batch, "Content-Type: application/cloudevents-batch+json").want(t, 200)["events"].([]any)
	for i, offset := range []any{2.0, nil, 3.0} {
		list, _ := got[i].(map[string]any)["duplicates"].([]any)
		if (len(list) == 1) != (offset != nil) || len(list) == 1 && list[0].(map[string]any)["offset"] != offset {
			t.Errorf("%d: %v", i, got[i])
		}
	}
	if info, err := k.log.Info(t.Context(), "once"); err != nil || info.Events != 4 {
		t.Errorf("%+v, %v", info, err)
	}
}

func TestPublishRefused(t *testing.T) {
	k := startAPI(t, setup{options: httpapi.Options{Limits: httpapi.Limits{Publish: 100_000, Batch: 2}}})
	for _, test := range []struct {
		path, body, header, kind string
		status                   int
	}{
		{"publish/", "x", "", "invalid-event", 422},
		{"publish/a/+", "x", "", "invalid-event", 422},
		{"publish/$dead/x", "x", "", "invalid-event", 422},
		{"publish/%24SYS/broker/uptime", "x", "", "invalid-event", 422},
		{"publish/$spate/dropped", "x", "", "invalid-event", 422},
		{"publish/a?key=k", "x", "", "invalid-request", 400},
		{"publish/a%00", "x", "", "invalid-event", 422},
		{"publish/a%ff", "x", "", "invalid-event", 422},
		{"publish/" + strings.Repeat("a/", 200), "x", "", "invalid-event", 422},
		{"publish/" + strings.Repeat("a", 2000), "x", "", "too-large", 413},
		{"publish/a", strings.Repeat("x", 100_001), "", "too-large", 413},
		{"events", `{"specversion":"1.0","id":"1","source":"a","type":"t","data":` + strings.Repeat("[", 40_000) + strings.Repeat("]", 40_000) + `}`,
			"Content-Type: application/cloudevents+json", "invalid-request", 400},
		{"publish/a", "x", "Spate-Id: 7", "invalid-event", 422},
		{"publish/a", "x", "Spate-Id: 01932c07-3f2e-7c1a-9d5b-0e6f8a2b4c6d\r\nIdempotency-Key: 7", "invalid-event", 422},
		{"publish/a", "x", "Idempotency-Key: " + strings.Repeat("x", 256), "invalid-event", 422},
		{"publish/a", "x", "Spate-Time: noon", "invalid-event", 422},
		{"publish/a", "x", "Spate-Key: \xff", "invalid-event", 422},
		{"publish/a", "x", "Spate-Key: " + strings.Repeat("x", 1025), "too-large", 413},
		{"publish/a", "x", "Content-Encoding: gzip", "unsupported-media-type", 415},
		{"publish/a", "x", "Content-Type: a\r\nContent-Type: b", "invalid-request", 400},
		{"publish/a", "x", strings.TrimSuffix(strings.Repeat("Spate-Header-A: b\r\n", 65), "\r\n"), "too-large", 413},
		{"events", "{}", "Content-Type: application/json", "unsupported-media-type", 415},
		{"events", "{}", "X: y", "unsupported-media-type", 415},
		{"events", "<a/>", "Content-Type: application/cloudevents+xml", "unsupported-media-type", 415},
		{"events", "{", "Content-Type: application/cloudevents+json", "invalid-request", 400},
		{"events", "{} {}", "Content-Type: application/cloudevents+json", "invalid-request", 400},
		{"events", "\xff", "Content-Type: application/cloudevents+json", "invalid-request", 400},
		{"events", "[]", "Content-Type: application/cloudevents+json", "invalid-event", 422},
		{"events", "{}", "Content-Type: application/cloudevents-batch+json", "invalid-request", 400},
		{"events", "[{},", "Content-Type: application/cloudevents-batch+json", "invalid-request", 400},
		{"events", "[1]", "Content-Type: application/cloudevents-batch+json", "invalid-event", 422},
		{"events", `{"specversion":"1.0","id":"1","source":"a","type":"a+b"}`, "Content-Type: application/cloudevents+json", "invalid-event", 422},
		{"events", `{"specversion":"1.0","id":"1","source":"a","type":"t","x":` + strings.Repeat("[", 20) + strings.Repeat("]", 20) + `}`,
			"Content-Type: application/cloudevents+json", "invalid-event", 422},
		{"events", "x", "ce-specversion: 1.0", "invalid-event", 422},
		{"events", "x", "ce-specversion: 1.0\r\nce-id: 1\r\nce-id: 2", "invalid-event", 422},
		{"events", "x", "ce-specversion: 1.0\r\nce-id: %zz", "invalid-event", 422},
		{"events", "x", "ce-specversion: 1.0\r\nce-id: %ff", "invalid-event", 422},
		{"events", "x", "ce-specversion: 1.0\r\nce-datacontenttype: a", "invalid-event", 422},
	} {
		t.Run(test.path[:min(len(test.path), 20)]+" "+test.header[:min(len(test.header), 30)], func(t *testing.T) {
			header := test.header
			if header == "" {
				header = "X-Nothing: 1"
			}
			k.send("POST", "/v1/"+test.path, test.body, header).wantProblem(t, test.status, test.kind)
		})
	}
}

// Events in the binary mode are those of the structured mode.
func TestBinaryCloudEvent(t *testing.T) {
	k := startAPI(t, setup{})
	q := k.queue("#")
	k.send("POST", "/v1/events", "{\"n\":1}", "ce-specversion: 1.0", "ce-id: 7", "ce-source: /a%20b", `ce-type: "t\"x%22"`, "ce-subject: caf%C3%A9/1",
		"ce-shop: 9", "Content-Type: application/json").want(t, http.StatusAccepted)
	e := k.next(q)
	if e.Subject != "café/1" || e.Header("ce-source") != "/a b" || e.Header("ce-type") != `t"x"` || e.Header("shop") != "9" || e.Header("content-type") != "application/json" ||
		string(e.Data) != `{"n":1}` {
		t.Errorf("%+v", e)
	}
}

// A batch is stored in one commit, or nothing of it is.
func TestBatchIsOneCommit(t *testing.T) {
	k := startAPI(t, setup{options: httpapi.Options{Limits: httpapi.Limits{Batch: 3}}}, "orders orders/#")
	batch := func(subjects ...string) string {
		var all []string
		for i, s := range subjects {
			all = append(all, fmt.Sprintf(`{"specversion":"1.0","id":"%d","source":"/a","type":"t","subject":%q}`, i, s))
		}
		return "[" + strings.Join(all, ",") + "]"
	}
	media := "Content-Type: application/cloudevents-batch+json"
	bad := k.send("POST", "/v1/events", batch("orders/1", "orders/+"), media)
	bad.wantProblem(t, 422, "invalid-event")
	if bad.want(t, 422)["index"] != 1.0 {
		t.Error(bad.body)
	}
	k.send("POST", "/v1/events", batch("orders/1", "orders/2", "orders/3", "orders/4"), media).wantProblem(t, 413, "too-large")
	k.store.FailNext(1, errors.New("no"))
	if got := k.send("POST", "/v1/events", batch("orders/1", "orders/2"), media); got.status != 500 || strings.Contains(got.body, "no\"") {
		t.Errorf("%+v", got)
	}
	if info, err := k.log.Info(t.Context(), "orders"); err != nil || info.Events != 0 {
		t.Errorf("%+v, %v", info, err)
	}
	got := k.send("POST", "/v1/events", batch("orders/1", "orders/2", "orders/3"), media).want(t, 200)
	if len(got["events"].([]any)) != 3 {
		t.Error(got)
	}
	if got := k.send("POST", "/v1/events", "[]", media); got.status != 200 || !strings.Contains(got.body, `"events":[]`) {
		t.Errorf("%+v", got)
	}
	if info, err := k.log.Info(t.Context(), "orders"); err != nil || info.Events != 3 {
		t.Errorf("%+v, %v", info, err)
	}
}

// What is wrong with the store is said with the status that fits.
func TestStoreFails(t *testing.T) {
	k := startAPI(t, setup{}, "orders orders/#")
	k.store.FailNext(1, fmt.Errorf("the batch: %w", store.ErrConflict))
	k.send("POST", "/v1/publish/orders/1", "x").wantProblem(t, 409, "conflict")
	k.store.FailNext(1, fmt.Errorf("the batch: %w", store.ErrTooLarge))
	k.send("POST", "/v1/publish/orders/1", "x").wantProblem(t, 413, "too-large")
	k.store.SetFull(true)
	k.send("POST", "/v1/publish/orders/1", "x").wantProblem(t, 507, "disk-full")
	k.send("POST", "/v1/publish/elsewhere", "x").want(t, 202)
	k.ask("GET", "/v1/streams/orders/events").want(t, 200)
	k.store.SetFull(false)
	k.send("POST", "/v1/publish/orders/1", "x").want(t, 200)
	k.store.Fail(errors.New("the disk is on fire"))
	k.send("POST", "/v1/publish/orders/1", "x").wantProblem(t, 503, "unavailable")
}

// Pages of other origins may neither post nor read, unless their origin is listed.
func TestOrigins(t *testing.T) {
	const app = "https://app.example.com"
	k := startAPI(t, setup{options: httpapi.Options{Origins: []string{app}}}, "orders orders/#")
	for _, test := range []struct {
		name, method, path string
		header             []string
		status             int
		allowed            string
	}{
		{"a listed page posts", "POST", "/v1/publish/a", []string{"Origin: " + app, "Sec-Fetch-Site: cross-site"}, 202, app},
		{"a listed page reads", "GET", "/v1/streams", []string{"Origin: " + app, "Sec-Fetch-Site: cross-site"}, 200, app},
		{"our own page", "POST", "/v1/publish/a", []string{"Origin: http://localhost", "Sec-Fetch-Site: same-origin"}, 202, ""},
		{"another page posts", "POST", "/v1/publish/a", []string{"Origin: https://evil.example.com", "Sec-Fetch-Site: cross-site"}, 403, ""},
		{"another page reads", "GET", "/v1/subscribe?filter=a", []string{"Origin: https://evil.example.com"}, 403, ""},
		{"an image of another page", "GET", "/v1/streams", []string{"Sec-Fetch-Site: cross-site"}, 403, ""},
		{"a page of nobody", "POST", "/v1/publish/a", []string{"Origin: null"}, 403, ""},
		{"a rebound name", "GET", "/v1/streams", []string{"Host: evil.example.com"}, 403, ""},
		{"a listed page asks", "OPTIONS", "/v1/publish/a", []string{"Origin: " + app, "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: spate-key"}, 204, app},
		{"another page asks", "OPTIONS", "/v1/publish/a", []string{"Origin: https://evil.example.com", "Access-Control-Request-Method: POST"}, 403, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := k.ask(test.method, test.path, test.header...)
			if got.status != test.status || got.header.Get("Access-Control-Allow-Origin") != test.allowed {
				t.Errorf("%+v", got)
			}
			if test.status == 403 {
				got.wantProblem(t, 403, "cross-origin")
			}
			if test.status == 204 && (got.header.Get("Access-Control-Allow-Headers") != "spate-key" || got.header.Get("Access-Control-Allow-Methods") == "") {
				t.Errorf("%+v", got.header)
			}
		})
	}
	for _, origin := range []string{"*", "https://a.example.com/", "a.example.com", "https://A.example.com"} {
		if _, err := httpapi.New(httpapi.Options{Auth: k.auth, Origins: []string{origin}}); err == nil {
			t.Errorf("the origin %q is accepted", origin)
		}
	}
}
