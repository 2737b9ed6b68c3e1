package httpapi_test

import (
	"bufio"
	"compress/flate"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/spate-io/spate/auth"
	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/protocol/httpapi"
	"github.com/spate-io/spate/protocol/websocket"
)

// A wsKit is a door that serves the API and its WebSocket.
type wsKit struct {
	*apiKit
	engine *engine.Engine
}

func startWS(t *testing.T, s setup, limits engine.Limits, streams ...string) *wsKit {
	t.Helper()
	e := startEngine(t, limits)
	s.options.Engine = e
	k := &wsKit{startAPI(t, s, streams...), e}
	t.Cleanup(k.stop)
	return k
}

// stop shuts the engine down, as the end of a test does.
func (k *wsKit) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := k.engine.Shutdown(ctx); err != nil && err != engine.ErrStopped {
		k.t.Error(err)
	}
}

// page opens a WebSocket that speaks JSON.
func (k *wsKit) page(header ...string) *socket {
	k.t.Helper()
	return socketOn(k.t, k.dial(), "/v1/ws", "", header...)
}

// next reads one message.
func (s *socket) next() map[string]any {
	s.t.Helper()
	text := s.hear()
	var m map[string]any
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		s.t.Fatalf("%q is not JSON: %v", text, err)
	}
	return m
}

// ask sends a message and returns the answer, which must be of that type.
func (s *socket) ask(kind, text string) map[string]any {
	s.t.Helper()
	s.say(text)
	m := s.next()
	if m["type"] != kind {
		s.t.Fatalf("%s was answered with %v", text, m)
	}
	return m
}

// place waits until a subscription has said where in the stream it is, and follows it from there.
func (s *socket) place() {
	s.t.Helper()
	if m := s.next(); m["type"] != "place" || m["resume"] == "" {
		s.t.Fatalf("got %v", m)
	}
}

// event reads an event and returns its data.
func (s *socket) event() string {
	s.t.Helper()
	m := s.next()
	e, _ := m["event"].(map[string]any)
	if m["type"] != "event" || e == nil {
		s.t.Fatalf("got %v instead of an event", m)
	}
	return fmt.Sprint(e["data"])
}

// Publishing is acknowledged with the receipt, events are CloudEvents, and answers name the message.
func TestWSLive(t *testing.T) {
	k := startWS(t, setup{}, engine.Limits{}, "orders orders/#")
	p := k.page()
	if got := p.ask("ack", `{"type":"subscribe","id":"a","filter":"orders/+"}`); got["id"] != "a" || got["message"] != 1.0 {
		t.Errorf("got %v", got)
	}
	p.ask("ack", `{"type":"subscribe","id":2,"filter":"news/#"}`)
	if got := p.ask("pong", `{"type":"ping","id":3}`); got["id"] != 3.0 || got["message"] != 3.0 {
		t.Errorf("got %v", got)
	}
	p.say(`{"type":"publish","id":"p","subject":"orders/7","key":"7","data":{"total":12.5},"headers":{"color":"red"}}`)
	first, second := p.next(), p.next()
	if first["type"] == "ack" { // the event comes before or after
		first, second = second, first
	}
	e := first["event"].(map[string]any)
	if first["filter"] != "orders/+" || e["subject"] != "orders/7" || e["partitionkey"] != "7" || e["color"] != "red" || fmt.Sprint(e["data"]) != "map[total:12.5]" {
		t.Errorf("got %v", first)
	}
	receipt := second["event"].(map[string]any)
	if second["id"] != "p" || fmt.Sprint(receipt["streams"]) != "[orders]" || receipt["id"] != e["id"] || second["receivers"] != 1.0 {
		t.Errorf("got %v", second)
	}
	k.send("POST", "/v1/publish/news/x", "hello", "Content-Type: text/plain").want(t, http.StatusAccepted)
	if got := p.event(); got != "hello" {
		t.Errorf("got %q", got)
	}
	p.ask("ack", `{"type":"unsubscribe","filter":"orders/+"}`)
	k.publish("orders/8", "1")
	p.ask("pong", `{"type":"ping"}`)
}

// What is published is the same by whichever member it comes.
func TestWSPublish(t *testing.T) {
	k := startWS(t, setup{}, engine.Limits{}, "orders orders/#")
	p, reader := k.page(), k.page()
	reader.ask("ack", `{"type":"subscribe","filter":"orders/#"}`)
	for text, want := range map[string]string{
		`"subject":"orders/1","data":{"a" : 1}`:                                                   `"data":{"a" : 1}`,
		`"subject":"orders/1","data":"text","headers":{"content-type":"text/plain"}`:              `"data":"text"`,
		`"subject":"orders/1","data":"text"`:                                                      `"data":"text"`,
		`"subject":"orders/1","data_base64":"//4="`:                                               `"data_base64":"//4="`,
		`"subject":"orders/1"`:                                                                    `"subject":"orders/1"`,
		`"event":{"specversion":"1.0","id":"x","source":"/page","type":"orders.1","data":[1]}`:    `"source":"/page"`,
		`"event":{"specversion":"1.0","id":"y","source":"/page","type":"t","subject":"orders/1"}`: `"id":"y"`,
		`"subject":"orders/1","data":{"A":1,"a":2}`:                                               `"data":{"A":1,"a":2}`,
		`"subject":"orders/1","data":` + strings.Repeat("[", 100) + strings.Repeat("]", 100):      strings.Repeat("[", 100),
		`"subject":"orders/1","data":"` + strings.Repeat("x", 70_000) + `"`:                       strings.Repeat("x", 70_000),
	} {
		p.ask("ack", `{"type":"publish",`+text+`}`)
		if got := reader.hear(); !strings.Contains(got, want) {
			t.Errorf("%.200s: got %.500s", text, got)
		}
	}
}

// What is wrong with a message is said, with its number, and the connection goes on.
func TestWSErrors(t *testing.T) {
	k := startWS(t, setup{}, engine.Limits{}, "orders orders/#")
	p := k.page()
	for i, tc := range []struct{ text, kind, says string }{
		{`hello`, "invalid-request", "not JSON"},
		{`[1]`, "invalid-request", "a JSON object"},
		{`{"type":"publish"} {}`, "invalid-request", "more than one value"},
		{`{}`, "invalid-request", "is not known: there are auth, ping, publish, subscribe, unsubscribe"},
		{`{"type":1}`, "invalid-request", "must be a text"},
		{`{"type":"ping","type":"ping"}`, "invalid-request", "there twice"},
		{`{"type":"ping","id":{}}`, "invalid-request", "the id of a message"},
		{`{"type":"ping","id":"` + strings.Repeat("x", 100) + `"}`, "invalid-request", "the id of a message"},
		{`{"type":"ping","filter":"a"}`, "invalid-request", "a message of the type ping has no"},
		{`{"type":"auth","token":"x"}`, "invalid-request", "nobody has to log in"},
		{`{"type":"subscribe"}`, "invalid-request", "say which subjects"},
		{`{"type":"subscribe","filter":"a/#/b"}`, "invalid-request", "wildcard"},
		{`{"type":"subscribe","filter":"` + strings.Repeat("/", 2000) + `"}`, "invalid-request", "too long"},
		{`{"type":"subscribe","filter":"a","policy":"block"}`, "invalid-request", "policy must be"},
		{`{"type":"subscribe","filter":"a","stream":"nope"}`, "not-found", ""},
		{`{"type":"subscribe","filter":"orders/#","from":"yesterday"}`, "invalid-place", ""},
		{`{"type":"subscribe","filter":"orders/#","resume":"nonsense"}`, "invalid-place", ""},
		{`{"type":"subscribe","filter":"orders/#","stream":"orders","policy":"disconnect"}`, "invalid-request", "policy is for live"},
		{`{"type":"unsubscribe","filter":"a"}`, "not-found", "there is no subscription"},
		{`{"type":"publish"}`, "invalid-event", ""},
		{`{"type":"publish","subject":"a/+"}`, "invalid-event", ""},
		{`{"type":"publish","subject":"a","data":1,"data_base64":"AA=="}`, "invalid-event", "both"},
		{`{"type":"publish","subject":"a","data_base64":"%"}`, "invalid-event", "base64"},
		{`{"type":"publish","subject":"a","headers":{"a":1}}`, "invalid-request", "must be a text"},
		{`{"type":"publish","subject":"a","event":{}}`, "invalid-event", "belongs into"},
		{`{"type":"publish","event":{"id":"x"}}`, "invalid-event", "specversion"},
		{`{"type":"publish","subject":"\ud800"}`, "invalid-event", "surrogate"},
		{`{"type":"publish","subject":"$SYS/broker/uptime"}`, "invalid-event", "only the server"},
		{`{"type":"publish","subject":"$spate/dropped"}`, "invalid-event", "only the server"},
	} {
		got := p.ask("error", tc.text)
		problem := got["problem"].(map[string]any)
		if got["message"] != float64(i+1) || problem["type"] != "/v1/problems/"+tc.kind || !strings.Contains(fmt.Sprint(problem["detail"]), tc.says) {
			t.Errorf("%.100s: got %v", tc.text, got)
		}
	}
	if _, err := io.WriteString(p.Conn, "\x82\x80\x00\x00\x00\x00"); err != nil { // a binary message
		t.Fatal(err)
	}
	if got := p.next(); got["type"] != "error" {
		t.Errorf("got %v", got)
	}
	p.ask("pong", `{"type":"ping"}`)
}

// A page that comes back goes on where it was, without a gap and without a repeat.
func TestWSResume(t *testing.T) {
	k := startWS(t, setup{}, engine.Limits{}, "orders orders/#")
	for i := range 10 {
		k.publish("orders/"+fmt.Sprint(i%3), fmt.Sprint(i))
	}
	seen := map[string]int{}
	resume, filter := "", `{"type":"subscribe","filter":"orders/#"`
	for round := range 5 {
		k.publish("orders/x", fmt.Sprint(10+2*round))
		k.publish("orders/y", fmt.Sprint(11+2*round))
		p := k.page()
		if resume == "" {
			p.ask("ack", filter+`,"stream":"orders","from":"beginning"}`)
		} else {
			p.ask("ack", filter+`,"resume":"`+resume+`"}`)
		}
		for n := 0; n < 4; {
			m := p.next()
			if token, ok := m["resume"].(string); ok {
				resume = token
			}
			if m["type"] == "event" {
				seen[fmt.Sprint(m["event"].(map[string]any)["data"])]++
				n++
			}
		}
		_ = p.Close()
	}
	for i := range 20 {
		if n := seen[fmt.Sprint(i)]; n != 1 {
			t.Errorf("%d came %d times", i, n)
		}
	}
	p := k.page()
	p.ask("ack", filter+`,"stream":"orders"}`)
	p.place()
	p.ask("ack", `{"type":"unsubscribe","filter":"orders/#"}`)
	k.publish("orders/x", "20")
	p.ask("pong", `{"type":"ping"}`)
	p.ask("ack", filter+`}`)
	k.publish("orders/x", "21")
	if got := p.event(); got != "21" {
		t.Errorf("got %s", got)
	}
	if got := k.Stats().Connections; got != 0 {
		t.Errorf("the door holds %d connections", got)
	}
}

// The login is in a header or in the first message, never in the URL, and what is allowed is what is allowed elsewhere.
func TestWSAccess(t *testing.T) {
	config := users(t)
	config.Tries = auth.Tries{Burst: 100}
	config.Roles["guest"] = auth.Role{Subscribe: []string{"orders/#"}, Publish: []string{"orders/{user}"}}
	k := startWS(t, setup{auth: config}, engine.Limits{}, "orders orders/#")
	const login = `{"type":"auth","id":1,"user":"anna","password":"secret"}`
	first := k.page()
	first.ask("ack", login)
	first.ask("error", login) // twice
	for _, p := range []*socket{first, k.page(basic("anna", "secret"))} {
		p.ask("ack", `{"type":"subscribe","filter":"orders/+"}`)
		for _, text := range []string{`{"type":"subscribe","filter":"#"}`, `{"type":"subscribe","filter":"other/#","stream":"orders"}`, `{"type":"publish","subject":"orders/bert","data":1}`} {
			if got := p.ask("error", text); got["problem"].(map[string]any)["type"] != "/v1/problems/forbidden" {
				t.Errorf("%s: got %v", text, got)
			}
		}
		p.ask("ack", `{"type":"unsubscribe","filter":"orders/+"}`)
		p.ask("ack", `{"type":"publish","subject":"orders/anna","data":1}`)
	}
	users := map[string]int{}
	for c := range k.engine.Connections {
		users[c.Info().User]++
	}
	if users["anna"] != 2 {
		t.Errorf("the list has %v", users)
	}
	for _, text := range []string{`{"type":"ping"}`, `{"type":"auth","token":"x"}`, `{"type":"auth","user":"anna","password":"wrong"}`, `{"type":"auth"}`, `nonsense`} {
		p := k.page()
		p.ask("error", text)
		if got := p.closed(); got != 1008 {
			t.Errorf("%s: closed with %d", text, got)
		}
	}
	p := k.page()
	p.say(`{"type":"auth","token":"` + strings.Repeat("x", 20_000) + `"}`) // memory for those whom nobody knows
	if got := p.closed(); got != 1009 {
		t.Errorf("closed with %d", got)
	}
	upgrade := []string{"Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13"}
	if got := k.ask("GET", "/v1/ws", append(upgrade, basic("anna", "wrong"))...); got.status != http.StatusUnauthorized || got.header.Get("WWW-Authenticate") == "" {
		t.Errorf("got %+v", got)
	}
	if got := k.ask("GET", "/v1/ws?access_token=x", upgrade...); got.status != http.StatusBadRequest {
		t.Errorf("got %+v", got)
	}
}

// A right that is withdrawn is gone for what is delivered, live and from streams.
func TestWSRightIsWithdrawn(t *testing.T) {
	config := users(t)
	config.Roles["guest"] = auth.Role{Subscribe: []string{"orders/#"}}
	k := startWS(t, setup{auth: config}, engine.Limits{}, "orders orders/#")
	live, stream := k.page(basic("anna", "secret")), k.page(basic("anna", "secret"))
	live.ask("ack", `{"type":"subscribe","filter":"orders/#"}`)
	stream.ask("ack", `{"type":"subscribe","filter":"orders/#","stream":"orders"}`)
	stream.place()
	config.Roles["guest"] = auth.Role{}
	if err := k.auth.Reload(config); err != nil {
		t.Fatal(err)
	}
	k.publish("orders/a", "1")
	if got := live.closed(); got != 1008 {
		t.Errorf("closed with %d", got)
	}
	if got := stream.next(); got["type"] != "end" || got["problem"].(map[string]any)["type"] != "/v1/problems/forbidden" {
		t.Errorf("got %v", got)
	}
	stream.ask("error", `{"type":"subscribe","filter":"orders/#"}`)
}

// A page that does not read is disconnected, or loses events and is told how many; nobody else notices.
func TestWSSlowReader(t *testing.T) {
	const n = 600
	body := strings.Repeat("x", 16<<10)
	for policy, last := range map[string]int{"disconnect": -1, "drop-oldest": n - 1, "drop-newest": 0} {
		t.Run(policy, func(t *testing.T) {
			k := startWS(t, setup{}, engine.Limits{Buffered: 64 << 10})
			slow, reader := k.page(), k.page()
			slow.ask("ack", `{"type":"subscribe","filter":"a","policy":"`+policy+`"}`)
			reader.ask("ack", `{"type":"subscribe","filter":"a"}`)
			for i := range n {
				k.publish("a", fmt.Sprintf(`"%d %s"`, i, body))
				if got := reader.event(); !strings.HasPrefix(got, fmt.Sprint(i)) {
					t.Fatalf("got %.20s", got)
				}
			}
			if last < 0 {
				waitUntil(t, func() bool { return k.engine.Stats().Closed[engine.ReasonOverflow] == 1 })
				return
			}
			slow.say(`{"type":"ping"}`)
			received, dropped, newest := 0, 0, ""
			for m := slow.next(); m["type"] != "pong"; m = slow.next() {
				if m["type"] == "dropped" {
					dropped += int(m["dropped"].(float64))
					continue
				}
				received++
				newest, _, _ = strings.Cut(fmt.Sprint(m["event"].(map[string]any)["data"]), " ")
			}
			waitUntil(t, func() bool { return k.engine.Stats().Buffered == 0 })
			k.publish("a", `"there is room to tell now"`)
			slow.event()
			if received+dropped < n {
				dropped += int(slow.next()["dropped"].(float64))
			}
			if received+dropped != n || dropped == 0 || (newest == fmt.Sprint(n-1)) != (last == n-1) {
				t.Errorf("%d were received, %d dropped, the last was %s", received, dropped, newest)
			}
		})
	}
}

// What was published is answered before a drain closes the connection.
func TestWSDrain(t *testing.T) {
	k := startWS(t, setup{}, engine.Limits{}, "orders orders/#")
	p := k.page()
	const n = 200
	if _, err := io.WriteString(p.Conn, strings.Repeat(masked(`{"type":"publish","subject":"orders/1","data":1}`), n)); err != nil { // in one piece
		t.Fatal(err)
	}
	if got := p.next(); got["type"] != "ack" {
		t.Errorf("got %v", got)
	}
	k.Drain()
	k.stop()
	acks := 1
	for {
		first, data, err := p.frame()
		if err != nil || first == 0x88 {
			if acks != n || !strings.Contains(data, "server-shutdown") {
				t.Errorf("%d acks came, and at the end %q and %v", acks, data, err)
			}
			return
		}
		acks += strings.Count(data, `"type":"ack"`)
	}
}

// Without an engine there is no WebSocket.
func TestWSNeedsEngine(t *testing.T) {
	k := startAPI(t, setup{})
	k.ask("GET", "/v1/ws").wantProblem(t, http.StatusNotFound, "not-found")
	if _, err := httpapi.New(httpapi.Options{Auth: k.auth, WebSockets: map[string]websocket.Endpoint{"/x": {}}}); err == nil {
		t.Error("it was made")
	}
}

// The conversation in docs/websocket.md is what happens.
func TestWSDocument(t *testing.T) {
	text, err := os.ReadFile("../../docs/websocket.md")
	if err != nil {
		t.Fatal(err)
	}
	k := startWS(t, setup{}, engine.Limits{}, "orders orders/#")
	p, lines := k.page(), 0
	for line := range strings.Lines(string(text)) {
		if sent, ok := strings.CutPrefix(line, "→ "); ok {
			p.say(strings.TrimSpace(sent))
			lines++
		}
		said, ok := strings.CutPrefix(line, "← ")
		if !ok {
			continue
		}
		lines++
		var want map[string]any
		if err := json.Unmarshal([]byte(said), &want); err != nil {
			t.Fatal(err)
		}
		if got := p.next(); shape(got) != shape(want) {
			t.Errorf("the document has\n%v\nand the server says\n%v", want, got)
		}
	}
	if lines < 10 {
		t.Errorf("the document has %d lines of a conversation", lines)
	}
}

// shape is a value without what differs each time.
func shape(v any) string {
	object, ok := v.(map[string]any)
	if !ok {
		return fmt.Sprint(v)
	}
	var all []string
	for _, name := range slices.Sorted(maps.Keys(object)) {
		switch name {
		case "resume", "time":
			all = append(all, name)
		case "id":
			if len(fmt.Sprint(object[name])) == 36 {
				all = append(all, name)
				continue
			}
			fallthrough
		default:
			all = append(all, name+"="+shape(object[name]))
		}
	}
	return "{" + strings.Join(all, " ") + "}"
}

// Who is known when connecting may compress, and gets large events compressed; others do not.
func TestWSCompression(t *testing.T) {
	const offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"
	open := startWS(t, setup{}, engine.Limits{})
	p := open.page(offer)
	p.ask("ack", `{"type":"subscribe","filter":"a"}`)
	data := strings.Repeat(`{"celsius":21.5},`, 100) + "0"
	open.publish("a", "["+data+"]")
	first, packed, err := p.frame()
	if err != nil || first != 0xc1 || len(packed) > 500 {
		t.Fatalf("got %x, %d bytes and %v", first, len(packed), err)
	}
	text, err := io.ReadAll(flate.NewReader(strings.NewReader(packed + "\x00\x00\xff\xff\x01\x00\x00\xff\xff")))
	if err != nil || !json.Valid(text) || !strings.HasPrefix(string(text), `{"type":"event","filter":"a","event":{`) || !strings.Contains(string(text), data) {
		t.Errorf("got %.200s and %v", text, err)
	}
	open.publish("a", "1")
	if got := p.event(); got != "1" { // too small for it
		t.Errorf("got %s", got)
	}
	guarded := startWS(t, setup{auth: users(t)}, engine.Limits{})
	for want, header := range map[string][]string{"permessage-deflate": {offer, basic("anna", "secret")}, "": {offer}} {
		c := guarded.dial()
		if _, err := io.WriteString(c, upgradeRequest("/v1/ws", header...)); err != nil {
			t.Fatal(err)
		}
		r, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, _, _ := strings.Cut(r.Header.Get("Sec-WebSocket-Extensions"), ";"); r.StatusCode != http.StatusSwitchingProtocols || got != want {
			t.Errorf("%q: got %s and %q", header, r.Status, got)
		}
	}
}
