package resp

import (
	"fmt"
	"strings"
	"testing"

	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/protocol/resp/wire"
)

// TestBody keeps one long reply, and all together, within their bounds.
func TestBody(t *testing.T) {
	p, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	var small, one body
	fill := func(l *body, n int) error {
		for len(l.b) < n {
			if err := l.reserve(p, 1000); err != nil {
				return err
			}
			l.b = append(l.b, make([]byte, 1000)...)
		}
		return nil
	}
	if err := fill(&small, replyFlush/2); err != nil || p.long.Load() != 0 {
		t.Errorf("a short reply: %v, %d bytes counted", err, p.long.Load())
	}
	if err := fill(&one, longReply-2000); err != nil || p.long.Load() != int64(cap(one.b)) || cap(one.b) > longReply {
		t.Errorf("a long reply: %v, %d bytes counted of %d", err, p.long.Load(), cap(one.b))
	}
	if err := fill(&one, longReply+1); err == nil {
		t.Errorf("a reply has %d bytes", len(one.b))
	}
	others := make([]body, 2*longReplies/longReply)
	refused := 0
	for i := range others {
		if fill(&others[i], longReply-2000) != nil {
			refused++
		}
	}
	if n := p.long.Load(); refused < len(others)/2 || n > longReplies {
		t.Errorf("%d of %d replies were refused, %d bytes are held", refused, len(others), n)
	}
	for i := range others {
		others[i].release()
	}
	small.release()
	one.release()
	if n := p.long.Load(); n != 0 {
		t.Errorf("%d bytes are counted after all", n)
	}
}

// TestLongReplies asks for lists with many subjects: as long as they fit, they arrive whole in either version; when not,
// the error says what to do, and a narrower pattern is served.
func TestLongReplies(t *testing.T) {
	p, conn := connected(t, Options{})
	sub := p.bus.NewClient(catch(func(*bus.Message) {}))
	defer sub.Close()
	add := func(from, to int) {
		for i := from; i < to; i++ {
			if _, err := sub.Subscribe(fmt.Sprintf("s%06d%s", i, strings.Repeat("x", 900))); err != nil {
				t.Fatal(err)
			}
		}
	}
	ask := func(words ...string) string {
		return talk(t, conn.Listener().Addr(), request(words...)+request("QUIT"))
	}
	add(0, 5000)
	if got := ask("PUBSUB", "CHANNELS"); !strings.HasPrefix(got, "*5000\r\n$907\r\ns") || strings.Count(got, "\r\ns") != 5000 || !strings.HasSuffix(got, "x\r\n+OK\r\n") {
		t.Errorf("5000 subjects: %d bytes, %.50q", len(got), got)
	}
	add(5000, 10_000)
	if got := ask("PUBSUB", "CHANNELS"); !strings.HasPrefix(got, "-ERR the reply would be too long: it has more than 8388608 bytes. Ask with a narrower pattern") {
		t.Errorf("10 000 subjects: %d bytes, %.200q", len(got), got)
	}
	if got := ask("PUBSUB", "CHANNELS", "s0000*"); !strings.HasPrefix(got, "*100\r\n") {
		t.Errorf("of a prefix: %.50q", got)
	}
	p.long.Store(longReplies)
	for _, words := range [][]string{{"PUBSUB", "CHANNELS", "s000*"}, {"PUBSUB", "CHANNELS"}} {
		if got := ask(words...); !strings.HasPrefix(got, "-ERR the reply would be too long: ") || strings.Count(got, "\r\n") != 2 {
			t.Errorf("with nothing left for long replies: %.200q", got)
		}
	}
	if got := ask("PUBSUB", "CHANNELS", "s0000[0-4]*"); !strings.HasPrefix(got, "*50\r\n") {
		t.Errorf("a short reply meanwhile: %.50q", got)
	}
	p.long.Store(0)
}

// TestLongClientList has one line in a reply longer than what is sent at once, in either version.
func TestLongClientList(t *testing.T) {
	p, conn := connected(t, Options{Limits: Limits{NameLength: 200_000}})
	for _, version := range []string{"2", "3"} {
		name := strings.Repeat("n", 150_000)
		raw := request("HELLO", version) + request("CLIENT", "SETNAME", name) + request("CLIENT", "LIST") + request("QUIT")
		_, list, _ := strings.Cut(talk(t, conn.Listener().Addr(), raw), "+OK\r\n")
		kind, extra := "$%d\r\n", ""
		if version == "3" {
			kind, extra = "=%d\r\n", "txt:"
		}
		list = strings.TrimSuffix(list, "+OK\r\n")
		var n int
		if _, err := fmt.Sscanf(list, kind, &n); err != nil {
			t.Fatalf("%.100q: %v", list, err)
		}
		_, text, _ := strings.Cut(list, "\r\n")
		if len(text) != n+2 || !strings.HasPrefix(text, extra+"id=") || !strings.Contains(text, name) {
			t.Errorf("version %s: %d bytes announced, %d there", version, n, len(text)-2)
		}
	}
	p.long.Store(longReplies)
	got := talk(t, conn.Listener().Addr(), request("CLIENT", "SETNAME", strings.Repeat("n", 150_000))+request("CLIENT", "LIST")+request("QUIT"))
	if !strings.Contains(got, "-ERR the reply would be too long: ") || !strings.Contains(got, "CLIENT LIST ID") {
		t.Errorf("%.200q", got)
	}
	p.long.Store(0)
}

// TestRequestsBeyond32Bits takes limits that are larger than places in a request can be.
func TestRequestsBeyond32Bits(t *testing.T) {
	e, err := engine.New(engine.Options{Limits: engine.Limits{Message: 4 << 30, BufferedTotal: 8 << 30}})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Shutdown(t.Context())
	opened := make(chan *engine.Conn, 2)
	p, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	l, err := e.Listen(t.Context(), engine.ListenOptions{Network: "tcp", Address: "127.0.0.1:0", Protocol: watched{p, opened}})
	if err != nil {
		t.Fatal(err)
	}
	if got := talk(t, l.Addr(), "*1\r\n$1073741825\r\n"); got != "-ERR Protocol error: invalid bulk length\r\n" {
		t.Errorf("an argument of more than 1 GiB: %q", got)
	}
	if got, want := p.wireLimits(<-opened), (wire.Limits{Args: DefaultArgs, Bulk: MaxRequest, Total: MaxRequest}); got != want {
		t.Errorf("limits %+v, want %+v", got, want)
	}
	if _, err := New(Options{Limits: Limits{Bulk: MaxRequest + 1}}); err == nil || !strings.Contains(err.Error(), "set Limits.Bulk to 1073741824 at most") {
		t.Errorf("a limit beyond 32 bits: %v", err)
	}
}
