package httpapi_test

import (
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spate-io/spate/auth"
	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/protocol/httpapi"
	"github.com/spate-io/spate/store"
	"github.com/spate-io/spate/stream"
)

// publish publishes in Go.
func (k *apiKit) publish(subject, data string) *event.Event {
	k.t.Helper()
	e := &event.Event{Subject: subject, Data: []byte(data)}
	if _, err := k.bus.Publish(k.t.Context(), e); err != nil {
		k.t.Fatal(err)
	}
	return e
}

// A stream is read from where the client was, however often it goes away and wherever it is then: nothing is missing and nothing
// comes twice.
func TestResumeIsExact(t *testing.T) {
	const events = 2000
	for _, query := range []string{"stream=orders&from=beginning", "stream=orders&from=beginning&filter=orders/%2B/even"} {
		t.Run(query, func(t *testing.T) {
			t.Parallel()
			k := startAPI(t, setup{}, "orders orders/#")
			published := make(chan struct{})
			go func() {
				defer close(published)
				for i := range events {
					k.publish(fmt.Sprintf("orders/%d/%s", i%17, []string{"even", "odd"}[i%2]), fmt.Sprint(i))
				}
			}()
			want := events
			if strings.Contains(query, "filter") {
				want /= 2
			}
			random := rand.New(rand.NewPCG(1, uint64(want)))
			seen, last, connections := map[string]int{}, "", 0
			for len(seen) < want {
				header := []string{"X-Nothing: 1"}
				if last != "" {
					header = []string{"Last-Event-ID: " + last}
				}
				l := k.listen("/v1/subscribe?format=data&"+query, header...)
				connections++
				for range random.IntN(60) {
					if len(seen) == want {
						break
					}
					m := l.event()
					seen[m.data]++
					if m.name != "" {
						t.Fatalf("%+v", m)
					}
				}
				if l.last != "" { // as a browser, which forgets nothing when a connection brought nothing
					last = l.last
				}
				l.conn.Close()
			}
			<-published
			for data, n := range seen {
				if n != 1 {
					t.Errorf("event %s came %d times", data, n)
				}
			}
			if connections < 10 {
				t.Errorf("only %d connections", connections)
			}
			l := k.listen("/v1/subscribe?format=data&"+query, "Last-Event-ID: "+last)
			k.publish("orders/last/even", "last")
			if m := l.event(); m.data != "last" {
				t.Errorf("%+v came after the end", m)
			}
		})
	}
}

// A client that has seen no event yet resumes exactly too: the first thing that it is told is where it stands.
func TestResumeBeforeTheFirstEvent(t *testing.T) {
	k := startAPI(t, setup{}, "orders orders/#")
	k.publish("orders/1", "before")
	l := k.listen("/v1/subscribe?stream=orders&format=data")
	for l.last == "" {
		if _, err := l.next(); err != nil {
			t.Fatal(err)
		}
	}
	l.conn.Close()
	k.publish("orders/1", "between")
	if m := k.listen("/v1/subscribe?stream=orders&format=data&resume=" + l.last).event(); m.data != "between" {
		t.Errorf("%+v", m)
	}
}

// A heartbeat moves the token past what does not match.
func TestHeartbeat(t *testing.T) {
	k := startAPI(t, setup{options: httpapi.Options{Limits: httpapi.Limits{Heartbeat: 20 * time.Millisecond}}}, "orders orders/#")
	l := k.listen("/v1/subscribe?stream=orders&filter=orders/a&format=data")
	first, err := l.next()
	for err == nil && l.last == "" {
		first, err = l.next()
	}
	k.publish("orders/b", "x")
	for err == nil && l.last == first.id {
		_, err = l.next()
	}
	live := k.listen("/v1/subscribe?filter=orders/a")
	for range 3 {
		if _, err := live.next(); err != nil {
			t.Fatal(err)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestResumeTokens(t *testing.T) {
	k := startAPI(t, setup{}, "orders orders/#", "others others/#")
	k.publish("orders/1", "x")
	token := func(name string, from string) string {
		l := k.listen("/v1/subscribe?stream=" + name + "&from=" + from)
		defer l.conn.Close()
		for l.last == "" {
			if _, err := l.next(); err != nil {
				t.Fatal(err)
			}
		}
		return l.last
	}
	good := token("orders", "end")
	raw, err := base64.RawURLEncoding.DecodeString(good)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, token, kind string
		status            int
	}{
		{"garbage", "garbage!", "invalid-place", http.StatusBadRequest},
		{"a number", "17", "invalid-place", http.StatusBadRequest},
		{"very long", strings.Repeat("A", 15000), "invalid-place", http.StatusBadRequest},
		{"of another stream", token("others", "end"), "invalid-place", http.StatusBadRequest},
		{"cut off", good[:len(good)-1], "invalid-place", http.StatusBadRequest},
		{"more behind it", base64.RawURLEncoding.EncodeToString(append(slices.Clone(raw), 0)), "invalid-place", http.StatusBadRequest},
		{"very many partitions", base64.RawURLEncoding.EncodeToString(append(slices.Clone(raw[:13]), 0xff, 0xff, 0xff, 0xff, 0x0f)), "invalid-place", http.StatusBadRequest},
		{"beyond the end", base64.RawURLEncoding.EncodeToString(append(slices.Clone(raw[:14]), 99, 99, 99, 99)), "resume-token-outlived", http.StatusGone},
	} {
		t.Run(test.name, func(t *testing.T) {
			k.ask("GET", "/v1/subscribe?stream=orders", "Last-Event-ID: "+test.token).wantProblem(t, test.status, test.kind)
		})
	}
}

// A place of a stream that was removed does not count in the one that has its name now: not for a client that comes back, however far
// the new one has got, and not for one that was there all the time.
func TestReplacedStream(t *testing.T) {
	k := startAPI(t, setup{}, "orders orders/#")
	before := k.ask("GET", "/v1/streams/orders").want(t, http.StatusOK)["id"]
	for i := range 20 {
		k.publish("orders/1", fmt.Sprint("old ", i))
	}
	const path = "/v1/subscribe?stream=orders&from=beginning&format=data"
	away, there := k.listen(path), k.listen(path)
	for range 3 {
		away.event()
	}
	away.conn.Close()
	for range 20 {
		there.event()
	}
	k.send("DELETE", "/v1/streams/orders", "").want(t, http.StatusNoContent)
	created := k.send("POST", "/v1/streams", `{"name":"orders","subjects":["orders/#"],"partitions":4}`, "Content-Type: application/json").want(t, http.StatusCreated)
	if before == nil || created["id"] == before {
		t.Errorf("%v became %v", before, created["id"])
	}
	for i := range 40 {
		k.publish("orders/1", fmt.Sprintf("second-%d", i))
	}
	k.ask("GET", path, "Last-Event-ID: "+away.last).wantProblem(t, http.StatusGone, "resume-token-outlived")
	k.ask("GET", path+"&resume="+there.last).wantProblem(t, http.StatusGone, "resume-token-outlived")
	if rest := fmt.Sprint(there.rest()); strings.Contains(rest, "second-") || !strings.Contains(rest, "resume-token-outlived") {
		t.Errorf("it went on with %s", rest)
	}
	if m := k.listen(path).event(); m.data != "second-0" {
		t.Errorf("%+v", m)
	}
	if page := k.ask("GET", "/v1/streams/orders/events").want(t, http.StatusOK); page["stream_id"] != created["id"] {
		t.Errorf("%v is not %v", page["stream_id"], created["id"])
	}
}

// A filter is enough to read what was stored, if one stream captures it.
func TestStreamOfFilter(t *testing.T) {
	k := startAPI(t, setup{}, "orders orders/#", "news news/+")
	k.publish("orders/1", "one")
	k.publish("orders/2", "two")
	l := k.listen("/v1/subscribe?filter=orders/%2B&from=beginning&format=data")
	seen := []string{l.event().data}
	l.conn.Close()
	l = k.listen("/v1/subscribe?filter=orders/%2B&format=data", "Last-Event-ID: "+l.last)
	if seen = append(seen, l.event().data); !slices.Contains(seen, "one") || !slices.Contains(seen, "two") {
		t.Error(seen)
	}
	k.ask("GET", "/v1/subscribe?filter=%23&from=beginning").wantProblem(t, http.StatusNotFound, "not-found")
	if _, err := k.log.Create(t.Context(), stream.Config{Name: "all", Subjects: []string{"#"}}); err != nil {
		t.Fatal(err)
	}
	got := k.ask("GET", "/v1/subscribe?filter=orders/1&from=beginning")
	if got.wantProblem(t, http.StatusBadRequest, "invalid-request"); !strings.Contains(got.body, `[\"all\" \"orders\"]`) {
		t.Error(got.body)
	}
}

// What retention has removed before it was read is said, not skipped in silence.
func TestGap(t *testing.T) {
	k := startAPI(t, setup{})
	if _, err := k.log.Create(t.Context(), stream.Config{Name: "one", Subjects: []string{"one"}, Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		k.publish("one", fmt.Sprint(i))
	}
	l := k.listen("/v1/subscribe?stream=one&from=3&format=data")
	if m := l.event(); m.data != "3" {
		t.Fatalf("%+v", m)
	}
	l.conn.Close()
	if err := k.log.Trim(t.Context(), store.Position{Partition: store.Partition{Stream: "one"}, Offset: 7}); err != nil {
		t.Fatal(err)
	}
	l = k.listen("/v1/subscribe?stream=one&format=data&resume=" + l.last)
	if m := l.event(); m.name != "gap" || m.data != `{"partition":0,"from":4,"to":7}` {
		t.Errorf("%+v", m)
	}
	if m := l.event(); m.data != "7" {
		t.Errorf("%+v", m)
	}
}

// A record that cannot be read ends the stream, or is told and passed.
func TestCorruptRecords(t *testing.T) {
	k := startAPI(t, setup{})
	if _, err := k.log.Create(t.Context(), stream.Config{Name: "one", Subjects: []string{"one"}, Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		k.publish("one", fmt.Sprint(i))
	}
	for _, offset := range []uint64{1, 2} {
		k.store.Corrupt(store.Position{Partition: store.Partition{Stream: "one"}, Offset: offset})
	}
	l := k.listen("/v1/subscribe?stream=one&from=beginning&format=data")
	if m := l.event(); m.data != "0" {
		t.Errorf("%+v", m)
	}
	if m := l.event(); m.name != "error" || !strings.Contains(m.data, "corrupt-record") {
		t.Errorf("%+v", m)
	}
	k.ask("GET", "/v1/streams/one/events?offset=1").wantProblem(t, http.StatusInternalServerError, "corrupt-record")
	page := k.ask("GET", "/v1/streams/one/events?corrupt=skip").want(t, http.StatusOK)
	if len(page["events"].([]any)) != 1 || len(page["corrupt"].([]any)) != 2 || page["next"] != 3.0 {
		t.Error(page)
	}
	l = k.listen("/v1/subscribe?stream=one&from=beginning&format=data&corrupt=skip")
	corrupt := 0
	for range 3 {
		if l.event().name == "corrupt" {
			corrupt++
		}
	}
	k.publish("one", "after")
	if m := l.event(); corrupt != 2 || m.data != "after" {
		t.Errorf("%d, %+v", corrupt, m)
	}
}

func TestFormats(t *testing.T) {
	k := startAPI(t, setup{})
	l := k.listen("/v1/subscribe?filter=%23&format=data")
	for _, test := range []struct{ data, name, want string }{
		{"text", "", "text"}, {"two\nlines", "", "two\nlines"}, {"a\rb", "base64", "YQ1i"}, {"\xff", "base64", "/w=="}, {" space", "", " space"},
	} {
		k.publish("a", test.data)
		if m := l.event(); m.name != test.name || m.data != test.want {
			t.Errorf("%q came as %+v", test.data, m)
		}
	}
	l = k.listen("/v1/subscribe?filter=%23")
	k.publish("a", "{\n\"a\": 1}")
	var e map[string]any
	if err := json.Unmarshal([]byte(l.event().data), &e); err != nil || e["data"].(map[string]any)["a"] != 1.0 {
		t.Error(e, err)
	}
}

func TestSubscribeRefused(t *testing.T) {
	k := startAPI(t, setup{}, "orders orders/#")
	for _, test := range []struct {
		query, kind string
		status      int
	}{
		{"", "invalid-request", http.StatusBadRequest},
		{"?filter=a%2B", "invalid-request", http.StatusBadRequest},
		{"?filter=a&filter=b", "invalid-request", http.StatusBadRequest},
		{"?filter=a&nonsense=1", "invalid-request", http.StatusBadRequest},
		{"?filter=a&policy=block", "invalid-request", http.StatusBadRequest},
		{"?filter=a&format=xml", "invalid-request", http.StatusBadRequest},
		{"?filter=a&from=end", "not-found", http.StatusNotFound},
		{"?from=end", "invalid-request", http.StatusBadRequest},
		{"?filter=orders/%23&from=end&policy=drop-oldest", "invalid-request", http.StatusBadRequest},
		{"?stream=orders&policy=drop-oldest", "invalid-request", http.StatusBadRequest},
		{"?stream=orders&from=yesterday", "invalid-place", http.StatusBadRequest},
		{"?stream=orders&corrupt=maybe", "invalid-request", http.StatusBadRequest},
		{"?stream=orders&filter=a%2B", "invalid-request", http.StatusBadRequest},
		{"?stream=nothing", "not-found", http.StatusNotFound},
	} {
		k.ask("GET", "/v1/subscribe"+test.query).wantProblem(t, test.status, test.kind)
	}
	if r := k.ask("HEAD", "/v1/subscribe?filter=a", "Connection: close"); r.status != http.StatusOK || r.body != "" {
		t.Errorf("%+v", r)
	}
}

// A drain ends subscriptions with a last comment, and lets the rest go on.
func TestDrainEndsSubscriptions(t *testing.T) {
	k := startAPI(t, setup{}, "orders orders/#")
	live, stored := k.listen("/v1/subscribe?filter=a"), k.listen("/v1/subscribe?stream=orders")
	k.Drain()
	for _, l := range []*listening{live, stored} {
		all := l.rest()
		if len(all) == 0 || all[len(all)-1].comment != "closed: the server is shutting down" {
			t.Errorf("%+v", all)
		}
	}
	k.ask("GET", "/v1/subscribe?filter=a").wantProblem(t, http.StatusServiceUnavailable, "unavailable")
	k.send("POST", "/v1/publish/orders/1", "x").want(t, http.StatusOK)
}

// A right that is withdrawn ends what it allowed, also while nothing happens.
func TestRightIsWithdrawn(t *testing.T) {
	config := users(t)
	config.Roles["guest"] = auth.Role{Subscribe: []string{"orders/#"}, Publish: []string{"orders/#"}}
	k := startAPI(t, setup{auth: config, options: httpapi.Options{Limits: httpapi.Limits{Heartbeat: 20 * time.Millisecond}}}, "orders orders/#")
	anna := basic("anna", "secret")
	all := []*listening{
		k.listen("/v1/subscribe?filter=orders/a", anna), k.listen("/v1/subscribe?stream=orders", anna), k.listen("/v1/subscribe?stream=orders&filter=orders/a", anna),
	}
	k.send("POST", "/v1/publish/orders/a", "1", anna).want(t, http.StatusOK)
	for _, l := range all {
		if m := l.event(); m.name != "" {
			t.Errorf("%+v", m)
		}
	}
	config.Roles["guest"] = auth.Role{}
	if err := k.auth.Reload(config); err != nil {
		t.Fatal(err)
	}
	k.publish("orders/a", "2")
	for i, l := range all {
		rest := l.rest()
		text := fmt.Sprint(rest)
		if len(rest) < 2 || !strings.Contains(text, "/v1/problems/forbidden") || strings.Contains(text, `"data":2`) {
			t.Errorf("%d: %+v", i, rest)
		}
	}
	k.ask("GET", "/v1/subscribe?filter=orders/a", anna).wantProblem(t, http.StatusForbidden, "forbidden")
}

// A subscription outlives the time that a request may take to arrive, and a keep-alive connection may wait, also within TLS.
func TestSubscriptionHasNoEnd(t *testing.T) {
	server := certificate(t, "localhost")
	for name, config := range map[string]*tls.Config{"plain": nil, "TLS": {Certificates: []tls.Certificate{server}}} {
		t.Run(name, func(t *testing.T) {
			limits := quick()
			limits.Heartbeat = 50 * time.Millisecond
			k := startAPI(t, setup{tls: config, options: httpapi.Options{Limits: limits}}, "orders orders/#")
			for _, path := range []string{"/v1/subscribe?filter=orders/%23&format=data", "/v1/subscribe?stream=orders&format=data"} {
				c := k.dial()
				if config != nil {
					c = tls.Client(c, &tls.Config{InsecureSkipVerify: true})
				}
				l, _ := k.listenOn(c, path, "X-Nothing: 1")
				for range 12 { // two times as long as quick lets a request take
					if _, err := l.next(); err != nil {
						t.Fatal(err)
					}
				}
				k.publish("orders/1", "x")
				if m := l.event(); m.data != "x" {
					t.Errorf("%+v", m)
				}
				c.Close()
			}
		})
	}
}
