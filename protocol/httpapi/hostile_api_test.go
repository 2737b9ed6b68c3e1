package httpapi_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/protocol/httpapi"
)

// TestHostileToAPI is one row for each thing that a client of the API can do wrong. It is told so if it listens, its connection ends
// with a coded reason, and others are served meanwhile and afterwards.
func TestHostileToAPI(t *testing.T) {
	const post = "POST /v1/publish/a HTTP/1.1\r\nHost: localhost\r\n"
	for _, test := range []struct {
		name   string
		attack func(k *kit, c net.Conn)
		want   engine.Reason
		answer string // how what the offender is told begins
	}{
		{"a body that never comes", func(_ *kit, c net.Conn) {
			send(c, post+"Content-Length: 1000000\r\n\r\na")
		}, engine.ReasonRequestTimeout, "HTTP/1.1 408 "},
		{"chunks that never come", func(_ *kit, c net.Conn) {
			send(c, post+"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
		}, engine.ReasonRequestTimeout, "HTTP/1.1 408 "},
		{"a body byte by byte", func(_ *kit, c net.Conn) {
			send(c, post+"Content-Length: 1000000\r\n\r\n")
			for range 100 {
				if _, err := c.Write([]byte("a")); err != nil {
					return
				}
				_ = c.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
				if _, err := c.Read(make([]byte, 1)); err == io.EOF {
					return
				}
			}
		}, engine.ReasonRequestTimeout, ""},
		{"endless headers", func(_ *kit, c net.Conn) {
			send(c, post+strings.Repeat("Spate-Header-A: b\r\n", 100_000))
		}, engine.ReasonTooLarge, "HTTP/1.1 431 "},
		{"a body of an exabyte", func(_ *kit, c net.Conn) {
			send(c, post+"Content-Length: 1152921504606846976\r\nConnection: close\r\n\r\na")
		}, engine.ReasonQuit, "HTTP/1.1 413 "},
		{"endless chunks", func(_ *kit, c net.Conn) {
			send(c, post+"Transfer-Encoding: chunked\r\n\r\n")
			for range 2000 {
				if _, err := io.WriteString(c, "400\r\n"+strings.Repeat("a", 1024)+"\r\n"); err != nil {
					return
				}
			}
		}, engine.ReasonNone, ""},
		{"a subscriber that never reads", func(k *kit, c net.Conn) {
			_ = c.(*net.TCPConn).SetReadBuffer(4096)
			send(c, "GET /v1/subscribe?stream=orders&from=beginning HTTP/1.1\r\nHost: localhost\r\n\r\n")
		}, engine.ReasonWriteTimeout, ""},
		{"a subscriber that hangs up", func(k *kit, c net.Conn) {
			k.listen("/v1/subscribe?stream=orders&from=end").conn.Close()
		}, engine.ReasonPeer, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			limits := quick()
			limits.Publish = 1 << 20
			k := startAPI(t, setup{options: httpapi.Options{Limits: limits}}, "orders orders/#")
			if test.want == engine.ReasonWriteTimeout {
				big := strings.Repeat("x", 1<<20)
				for range 16 { // more than the buffers of a connection hold
					k.publish("orders/1", big)
				}
			}
			c := k.dial()
			test.attack(k.kit, c)
			k.wantServed(false)
			if test.want != engine.ReasonNone {
				k.wantClosed(test.want)
			}
			k.wantServed(false)
			if test.answer != "" {
				_ = c.SetDeadline(time.Now().Add(patience))
				if got, _ := io.ReadAll(c); !bytes.HasPrefix(got, []byte(test.answer)) {
					t.Errorf("the offender was told %.100q, want %q", got, test.answer)
				}
			}
		})
	}
}

// Memory is taken as bodies arrive, not as they are announced, and no more than Limits.Buffered.
func TestBodiesShareMemory(t *testing.T) {
	limits := httpapi.Limits{Publish: 1 << 20, Buffered: 3 << 20}
	k := startAPI(t, setup{options: httpapi.Options{Limits: limits}})
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range 100 { // announce 100 MiB and send nothing
		send(k.dial(), "POST /v1/publish/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1048576\r\n\r\na")
	}
	k.send("POST", "/v1/publish/a", strings.Repeat("x", 1<<20)).want(t, http.StatusAccepted)
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 32<<20 {
		t.Errorf("%d bytes were allocated for bodies that never came", grown)
	}
	var open []net.Conn
	for range 8 { // each takes more than half of a MiB, in pieces that double
		c := k.dial()
		send(c, "POST /v1/publish/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1048576\r\n\r\n"+strings.Repeat("x", 600<<10))
		open = append(open, c)
	}
	refused := make(chan reply, len(open))
	for _, c := range open {
		go func() { refused <- k.readQuietly(c) }()
	}
	(<-refused).wantProblem(t, http.StatusServiceUnavailable, "busy")
	for _, c := range open {
		c.Close()
	}
	for range len(open) - 1 {
		<-refused
	}
}

// readQuietly reads an answer if one comes.
func (k *kit) readQuietly(c net.Conn) reply {
	text, _ := io.ReadAll(io.LimitReader(c, 1<<16))
	head, body, _ := strings.Cut(string(text), "\r\n\r\n")
	r := reply{header: http.Header{}, body: body}
	_, _ = fmt.Sscanf(head, "HTTP/1.1 %d", &r.status)
	if strings.Contains(head, "application/problem+json") {
		r.header.Set("Content-Type", "application/problem+json")
	}
	return r
}

// A live subscriber that reads too slowly is dealt with as it has asked for, and publishers notice nothing.
func TestSlowReaders(t *testing.T) {
	for _, policy := range []string{"drop-oldest", "drop-newest", "disconnect"} {
		t.Run(policy, func(t *testing.T) {
			k := startAPI(t, setup{options: httpapi.Options{Limits: httpapi.Limits{QueueEvents: 4, Heartbeat: 50 * time.Millisecond}}})
			l := k.listen("/v1/subscribe?filter=a&format=data&policy=" + policy)
			const events = 300 // 19 MiB, more than the buffers of a connection hold
			big := strings.Repeat("x", 64<<10)
			for i := range events {
				k.publish("a", fmt.Sprintf("%d %s", i, big))
			}
			seen, dropped, last := 0, 0, message{}
			for seen+dropped < events {
				m, err := l.next()
				if err != nil {
					break
				}
				switch {
				case m.name == "dropped":
					var n map[string]int
					if err := json.Unmarshal([]byte(m.data), &n); err != nil {
						t.Fatal(err)
					}
					dropped += n["dropped"]
				case m.name == "" && m.data != "":
					seen++
				}
				last = m
			}
			if policy == "disconnect" {
				if seen == events || !strings.HasPrefix(last.comment, "closed: too slow") {
					t.Errorf("%d seen, and then %+v", seen, last)
				}
				return
			}
			if dropped == 0 {
				t.Errorf("%d were seen and %d were dropped", seen, dropped)
			}
		})
	}
}

func TestTooManySubscribers(t *testing.T) {
	for _, test := range []struct {
		limits httpapi.Limits
		status int
		kind   string
	}{
		{httpapi.Limits{Subscribers: 3}, http.StatusServiceUnavailable, "busy"},
		{httpapi.Limits{SubscribersPerAddress: 3}, http.StatusTooManyRequests, "too-many-from-address"},
	} {
		t.Run(test.kind, func(t *testing.T) {
			k := startAPI(t, setup{options: httpapi.Options{Limits: test.limits}}, "orders orders/#")
			var all []*listening
			for i := range 3 {
				all = append(all, k.listen([]string{"/v1/subscribe?filter=a", "/v1/subscribe?stream=orders"}[i%2]))
			}
			k.ask("GET", "/v1/subscribe?filter=a").wantProblem(t, test.status, test.kind)
			k.send("POST", "/v1/publish/a", "x").want(t, http.StatusAccepted)
			all[0].conn.Close()
			for { // until the server has noticed
				l, r := k.tryListen("/v1/subscribe?filter=a")
				if r.StatusCode == http.StatusOK {
					break
				}
				l.conn.Close()
				k.wantClosed(engine.ReasonPeer)
			}
		})
	}
}

// A thousand subscribers get what is published, and leave nothing behind.
func TestManySubscribers(t *testing.T) {
	const many = 1000
	limits := httpapi.Limits{Connections: 2 * many, PerAddress: 2 * many, Subscribers: many, SubscribersPerAddress: many}
	k := startAPI(t, setup{options: httpapi.Options{Limits: limits}})
	all := make([]*listening, many)
	for i := range all {
		all[i] = k.listen("/v1/subscribe?filter=a&format=data")
	}
	if got := k.send("POST", "/v1/publish/a", "x").want(t, http.StatusAccepted); got["receivers"] != float64(many) {
		t.Error(got)
	}
	for _, l := range all {
		if m := l.event(); m.data != "x" {
			t.Errorf("%+v", m)
		}
		l.conn.Close()
	}
	for k.bus.Stats().Subscriptions > 0 { // each ends before its connection does
		k.wantClosed(engine.ReasonPeer)
	}
}

// Subscribers that are sent large events and do not read them hold no more than Limits.Buffered.
func TestLargeEventsShareMemory(t *testing.T) {
	limits := quick()
	limits.Buffered, limits.WriteTimeout = 50<<20, patience
	k := startAPI(t, setup{options: httpapi.Options{Limits: limits}}, "orders orders/#")
	k.publish("orders/1", strings.Repeat("x", 10<<20))
	stuck := k.listen("/v1/subscribe?stream=orders&from=beginning") // 30 MiB are for this one, which is too slow
	for stuck.last == "" {
		if _, err := stuck.next(); err != nil {
			t.Fatal(err)
		}
	}
	second := k.listen("/v1/subscribe?stream=orders&from=beginning")
	if m := second.event(); m.name != "error" || !strings.Contains(m.data, "/v1/problems/busy") {
		t.Errorf("%.200v", m)
	}
	for partition := range 4 {
		if got := k.ask("GET", fmt.Sprintf("/v1/streams/orders/events?partition=%d", partition)); got.status != http.StatusOK {
			got.wantProblem(t, http.StatusServiceUnavailable, "busy")
		} else if len(got.body) > 1<<20 {
			t.Error("a page had memory that is taken")
		}
	}
	if m := stuck.event(); len(m.data) < 10<<20 {
		t.Errorf("%.200v", m)
	}
	if m := k.listen("/v1/subscribe?stream=orders&resume=" + second.last).event(); len(m.data) < 10<<20 {
		t.Errorf("%.200v", m)
	}
}
