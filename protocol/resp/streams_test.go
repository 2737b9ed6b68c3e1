package resp_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/protocol/resp"
	"github.com/spate-io/spate/protocol/resp/xstream"
	"github.com/spate-io/spate/store"
	"github.com/spate-io/spate/store/memstore"
	"github.com/spate-io/spate/stream"
)

// blocked waits until as many clients wait for entries.
func (s *server) blocked(n int) {
	s.t.Helper()
	eventually(s.t, fmt.Sprintf("%d waiting clients", n), func() bool {
		return s.proto.Stats().Waiting == n
	})
}

const entry11 = "*1\r\n*2\r\n$1\r\nk\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n"

// TestBlocked waits for entries, and goes on with what the client has sent meanwhile.
func TestBlocked(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver string) {
		s := serve(t, driver, durable(t), engine.Limits{})
		c, other := s.dial(), s.dial()
		xread := request("XREAD", "BLOCK", "0", "STREAMS", "k", "$")
		c.send("PING\r\n" + xread + "PING a\r\nPING")
		c.wantReply("+PONG\r\n")
		s.blocked(1)
		c.send(" b\r\nPI")
		other.want("XADD k 1-1 f v", "$3\r\n1-1\r\n")
		c.wantReply(entry11)
		c.wantReply("$1\r\na\r\n")
		c.wantReply("$1\r\nb\r\n")
		c.send("NG\r\n" + xread + xread)
		c.wantReply("+PONG\r\n")
		s.blocked(1)
		other.want("XADD k 1-2 f v", "$3\r\n1-2\r\n")
		c.wantReply(strings.Replace(entry11, "1-1", "1-2", 1))
		s.blocked(1)
		other.want("PUBLISH k x", ":0\r\n") // by another door
		if got := c.reply(); !strings.Contains(got, "$4\r\ndata\r\n$1\r\nx\r\n$2\r\nid\r\n") {
			t.Errorf("%q", got)
		}
		c.want("XREAD BLOCK 1 STREAMS k $", "*-1\r\n")
		c.want("PING", "+PONG\r\n")
	})
}

// TestBlockedGroup waits for entries of a group, until it is gone.
func TestBlockedGroup(t *testing.T) {
	s := serve(t, "", durable(t), engine.Limits{})
	c, other := s.dial(), s.dial()
	wait := request("XREADGROUP", "GROUP", "g", "x", "BLOCK", "0", "STREAMS", "k", ">")
	for _, tc := range []struct{ do, want string }{
		{"XADD k 1-1 f v", entry11},
		{"XGROUP DESTROY k g", "-NOGROUP the consumer group this client was blocked on no longer exists\r\n"},
		{"DEL k", "-UNBLOCKED the stream key no longer exists\r\n"},
	} {
		other.ask("XGROUP CREATE k g $ MKSTREAM")
		c.send(wait)
		s.blocked(1)
		other.ask(tc.do)
		c.wantReply(tc.want)
	}
}

// TestBlockedEnds is how else a wait can end: each time the connection and its goroutine are gone at once.
func TestBlockedEnds(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver string) {
		s := serve(t, driver, durable(t), engine.Limits{})
		wait := func() *client {
			c := s.dial()
			c.send(request("XREAD", "BLOCK", "0", "STREAMS", "k", "nosuch", "$", "$"))
			s.blocked(1)
			return c
		}
		c := wait()
		c.Close()
		s.blocked(0)
		c = wait()
		admin := s.dial()
		admin.want("CLIENT KILL TYPE normal SKIPME yes", ":1\r\n")
		c.rest()
		s.blocked(0)
		c = wait()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		began := time.Now()
		if err := s.Shutdown(ctx); err != nil || time.Since(began) > patience/2 {
			t.Errorf("the shutdown took %v: %v", time.Since(began), err)
		}
		c.rest()
	})
}

// TestBlockedMany has a thousand clients wait for one key, and wakes them all.
func TestBlockedMany(t *testing.T) {
	const many = 1000
	o := durable(t)
	o.Limits.Streams = xstream.Limits{Blocked: many}
	s := serve(t, "", o, engine.Limits{PerAddress: 2 * many})
	var all []*client
	for range many {
		c := s.dial()
		c.send(request("XREAD", "BLOCK", "0", "STREAMS", "k", "$"))
		all = append(all, c)
	}
	s.blocked(many)
	one := s.dial()
	if got := one.ask("XREAD BLOCK 0 STREAMS k $"); !strings.HasPrefix(got, "-ERR 1000 clients wait") {
		t.Error(got)
	}
	one.want("XADD k 1-1 f v", "$3\r\n1-1\r\n")
	for _, c := range all {
		c.wantReply(entry11)
	}
}

// TestHeldLimit bounds what is held behind a request that waits.
func TestHeldLimit(t *testing.T) {
	s := serve(t, "", durable(t), engine.Limits{Message: 64 << 10})
	c := s.dial()
	c.send(request("XREAD", "BLOCK", "0", "STREAMS", "k", "$"))
	s.blocked(1)
	more := strings.Repeat("PING\r\n", 40_000)
	_, _ = c.Write([]byte(more))
	s.closedFor(engine.ReasonTooLarge)
	s.blocked(0)
}

// TestPromisePipelineSharesCommit counts how often entries are handed to the disk: sixteen that arrive together wait together.
func TestPromisePipelineSharesCommit(t *testing.T) {
	var gate atomic.Pointer[chan struct{}]
	var waiting atomic.Int64
	m := memstore.New(memstore.Options{BeforeCommit: func(*store.Batch) error {
		if g := gate.Load(); g != nil {
			waiting.Add(1)
			<-*g
		}
		return nil
	}})
	t.Cleanup(func() { _ = m.Close() })
	s := serve(t, "", on(t, m), engine.Limits{})
	c := s.dial()
	c.want("XADD k 1-1 f v", "$3\r\n1-1\r\n")
	open := make(chan struct{})
	gate.Store(&open)
	var pipeline, want strings.Builder
	for i := range 16 {
		pipeline.WriteString(request("XADD", "k", fmt.Sprintf("2-%d", i), "f", "v"))
		fmt.Fprintf(&want, "$%d\r\n2-%d\r\n", len(fmt.Sprintf("2-%d", i)), i)
	}
	c.send(pipeline.String() + request("PUBLISH", "k", "x") + request("XLEN", "k"))
	eventually(t, "the commit", func() bool { return waiting.Load() > 0 })
	gate.Store(nil) // the first is held up here; none of the others may wait for its reply
	eventually(t, "the other commits", func() bool { return s.proto.Stats().Pending == 17 })
	close(open)
	for range 16 {
		c.reply()
	}
	c.wantReply(":0\r\n")
	c.wantReply(":18\r\n")
}

// TestRoomIsMade: on a full disk nothing is added, and a client can make room: with XTRIM, XDEL and DEL, of a key whose stream is its own and of one that shares it.
func TestRoomIsMade(t *testing.T) {
	m := memstore.New(memstore.Options{})
	t.Cleanup(func() { _ = m.Close() })
	o := on(t, m)
	if _, err := o.Bus.Streams().Create(t.Context(), stream.Config{Name: "shared", Subjects: []string{"s/#"}}); err != nil {
		t.Fatal(err)
	}
	s := serve(t, "", o, engine.Limits{})
	c := s.dial()
	for _, key := range []string{"k", "s/k"} {
		m.SetFull(false)
		for i := range 5 {
			c.want(fmt.Sprintf("XADD %s %d-1 f v", key, i+1), fmt.Sprintf("$3\r\n%d-1\r\n", i+1))
		}
		c.want("XGROUP CREATE "+key+" g 0", "+OK\r\n")
		m.SetFull(true)
		c.send(request("XADD", key, "*", "f", "v"))
		if got := c.reply(); !strings.HasPrefix(got, "-MISCONF") {
			t.Errorf("%s: XADD on a full disk: %v", key, got)
		}
		c.want("XDEL "+key+" 3-1", ":1\r\n")
		c.want("XTRIM "+key+" MAXLEN 1", ":3\r\n")
		c.want("XLEN "+key, ":1\r\n")
		c.want("DEL "+key, ":1\r\n")
		c.want("EXISTS "+key, ":0\r\n")
	}
}

// TestEndsOfRanges is what Redis 7.0.15 replies where numbers end.
func TestEndsOfRanges(t *testing.T) {
	s := serve(t, "", durable(t), engine.Limits{})
	c := s.dial()
	c.want("XADD m 5-18446744073709551615 f v", "$22\r\n5-18446744073709551615\r\n")
	c.want("XADD m 5-* f v", "-ERR Elements are too large to be stored\r\n")
	c.want("XADD m 4-* f v", "-ERR The ID specified in XADD is equal or smaller than the target stream top item\r\n")
	c.want("XADD m 6-* f v", "$3\r\n6-0\r\n")
	c.want("XGROUP CREATE m g 0", "+OK\r\n")
	for count, want := range map[string]string{
		"576460752303423487": "-ERR Insufficient memory, failed allocating transient memory, COUNT too high.\r\n", "576460752303423488": "-ERR COUNT must be > 0\r\n",
		"100000000": "*3\r\n$3\r\n0-0\r\n*0\r\n*0\r\n",
	} {
		c.want("XAUTOCLAIM m g c 0 0 COUNT "+count, want)
	}
	c.want("XAUTOCLAIM m none c 0 0 COUNT 576460752303423487", "-NOGROUP No such key 'm' or consumer group 'none'\r\n")
}

// TestStoreErrors is what clients read when nothing can be stored, in the order of their requests.
func TestStoreErrors(t *testing.T) {
	var why atomic.Pointer[error]
	m := memstore.New(memstore.Options{BeforeCommit: func(*store.Batch) error {
		if err := why.Load(); err != nil {
			return *err
		}
		return nil
	}})
	t.Cleanup(func() { _ = m.Close() })
	s := serve(t, "", on(t, m), engine.Limits{})
	c := s.dial()
	c.want("XADD k 1-1 f v", "$3\r\n1-1\r\n")
	for _, tc := range []struct {
		err  error
		want string
	}{{store.ErrFull, "-MISCONF the disk"}, {store.ErrFailed, "-MISCONF the server cannot write"}} {
		why.Store(&tc.err)
		c.send(request("XADD", "k", "*", "f", "v") + request("PUBLISH", "k", "x") + request("XLEN", "k") + request("XGROUP", "CREATE", "k", "g", "0"))
		for range 2 {
			if got := c.reply(); !strings.HasPrefix(got, tc.want) {
				t.Errorf("%q, want %q", got, tc.want)
			}
		}
		c.wantReply(":1\r\n")
		if got := c.reply(); !strings.HasPrefix(got, tc.want) {
			t.Errorf("%q, want %q", got, tc.want)
		}
	}
	why.Store(nil)
	c.want("XADD k 1-2 f v", "$3\r\n1-2\r\n")
}

// TestWithoutStore is a server whose bus stores nothing.
func TestWithoutStore(t *testing.T) {
	s := serve(t, "", resp.Options{}, engine.Limits{})
	c := s.dial()
	c.want("XADD k * f v", "-ERR this server stores nothing: it has no streams\r\n")
	c.want("XREAD STREAMS k 0", "-ERR this server stores nothing: it has no streams\r\n")
	o := durable(t)
	o.CreateStreams = false
	s = serve(t, "", o, engine.Limits{})
	if got := s.dial().ask("XADD k * f v"); !strings.HasPrefix(got, "-ERR no stream captures this key") {
		t.Error(got)
	}
}

// TestStreamsHostile sends what is large, and what cannot be.
func TestStreamsHostile(t *testing.T) {
	s := serve(t, "", durable(t), engine.Limits{})
	c := s.dial()
	fields := make([]string, 0, 80_003)
	fields = append(fields, "XADD", "k", "1-1")
	for i := range 40_000 {
		fields = append(fields, fmt.Sprint(i), "v")
	}
	c.send(request(fields...))
	c.wantReply("$3\r\n1-1\r\n")
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, line := range []string{
		"XRANGE k - + COUNT 9223372036854775807", "XREAD COUNT 9223372036854775807 STREAMS k 0", "XADD k MAXLEN 9223372036854775807 1-2 f v", "XTRIM k MAXLEN 9223372036854775807",
		"XGROUP CREATE k g 0", "XREADGROUP GROUP g x COUNT 9223372036854775807 STREAMS k >", "XPENDING k g - + 9223372036854775807", "XAUTOCLAIM k g x 0 0 COUNT 99999999", "XINFO STREAM k FULL COUNT 9223372036854775807",
		"XRANGE k 18446744073709551615-18446744073709551615 +", "XDEL k 18446744073709551615-18446744073709551615", "XCLAIM k g x 9223372036854775807 1-1", "XCLAIM k g x 0 1-1 IDLE -9223372036854775808 RETRYCOUNT 9223372036854775807",
		"XREAD BLOCK 9223372036854775807 COUNT 1 STREAMS k 0", "XADD " + strings.Repeat("x", 2000) + " * f v", "XADD a/+ * f v", "XSETID k 18446744073709551615-18446744073709551615 ENTRIESADDED 9223372036854775807",
		"XADD k * f v", "XINFO STREAM k",
	} {
		if got := c.ask(line); got == "" {
			t.Errorf("%s: nothing", line)
		}
	}
	var after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 64<<20 {
		t.Errorf("%d bytes more are held", grown)
	}
	keys := make([]string, 0, 2*257+2)
	keys = append(append(keys, "XREAD", "STREAMS"), slices.Repeat([]string{"a"}, 257)...)
	keys = append(keys, slices.Repeat([]string{"0"}, 257)...)
	c.send(request(keys...))
	c.wantReply("-ERR one request may read 256 keys at most, not 257\r\n")
	s.alive()
}

// TestStreamRights asks for the right to publish from who writes, and for that to subscribe from who reads.
func TestStreamRights(t *testing.T) {
	o := durable(t)
	o.Auth = people(t)
	s := serve(t, "", o, engine.Limits{})
	c := s.dial()
	c.want("XADD foo/a * f v", "-NOAUTH Authentication required.\r\n")
	c.want("AUTH joe "+password, "+OK\r\n")
	const denied = "-NOPERM this user has no permissions to access one of the keys used as arguments\r\n"
	c.want("XADD foo/a 1-1 f v", "$3\r\n1-1\r\n")
	c.want("XLEN foo/a", ":1\r\n")
	for _, line := range []string{"XADD bar 1-1 f v", "XLEN bar", "XRANGE bar - +", "XREAD STREAMS foo/a bar 0 0", "XDEL bar 1-1", "XTRIM bar MAXLEN 0", "XGROUP CREATE bar g 0 MKSTREAM", "XINFO STREAM bar", "DEL foo/a bar", "EXISTS bar", "TYPE bar", "XACK bar g 1-1"} {
		c.want(line, denied)
	}
	c.want("EXISTS foo/a", ":1\r\n")
}

// TestOneModel reads by XRANGE what others published, and receives live what XADD has added.
func TestOneModel(t *testing.T) {
	o := durable(t)
	s := serve(t, "", o, engine.Limits{})
	c, sub := s.dial(), s.dial()
	sub.ask("SUBSCRIBE k")
	c.want("XADD k 1-1 a 1 b 2", "$3\r\n1-1\r\n")
	sub.wantReply("*3\r\n$7\r\nmessage\r\n$1\r\nk\r\n$17\r\n{\"a\":\"1\",\"b\":\"2\"}\r\n")
	c.want("XADD k 1-2 data x", "$3\r\n1-2\r\n")
	sub.wantReply("*3\r\n$7\r\nmessage\r\n$1\r\nk\r\n$1\r\nx\r\n")
	e := &event.Event{Subject: "k", Key: "kk", Data: []byte("y"), Headers: []event.Header{{Name: "unit", Value: "C"}}}
	if n, err := o.Bus.Publish(t.Context(), e); n.Receivers != 1 || err != nil {
		t.Fatal(n, err)
	}
	got := c.ask("XREVRANGE k + - COUNT 1")
	for _, want := range []string{"$4\r\ndata\r\n$1\r\ny\r\n", "$2\r\nid\r\n$36\r\n" + e.ID.String(), "$3\r\nkey\r\n$2\r\nkk\r\n", "$11\r\nheader:unit\r\n$1\r\nC\r\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q lacks %q", got, want)
		}
	}
}

// TestStreamCommandInfo is what client libraries ask to find the keys of a request.
func TestStreamCommandInfo(t *testing.T) {
	s := serve(t, "", durable(t), engine.Limits{})
	c := s.dial()
	for name, want := range map[string]string{
		"xadd":          "*10\r\n$4\r\nxadd\r\n:-5\r\n*3\r\n+write\r\n+denyoom\r\n+fast\r\n:1\r\n:1\r\n:1\r\n*3\r\n+@write\r\n+@stream\r\n+@fast\r\n",
		"xread":         "*10\r\n$5\r\nxread\r\n:-4\r\n*3\r\n+readonly\r\n+blocking\r\n+movablekeys\r\n:0\r\n:0\r\n:0\r\n*4\r\n+@read\r\n+@stream\r\n+@slow\r\n+@blocking\r\n",
		"xgroup|create": "*10\r\n$13\r\nxgroup|create\r\n:-5\r\n*2\r\n+write\r\n+denyoom\r\n:2\r\n:2\r\n:1\r\n*3\r\n+@write\r\n+@stream\r\n+@slow\r\n",
		"del":           "*10\r\n$3\r\ndel\r\n:-2\r\n*1\r\n+write\r\n:1\r\n:-1\r\n:1\r\n*3\r\n+@keyspace\r\n+@write\r\n+@slow\r\n",
		"exists":        "*10\r\n$6\r\nexists\r\n:-2\r\n*2\r\n+readonly\r\n+fast\r\n:1\r\n:-1\r\n:1\r\n*3\r\n+@keyspace\r\n+@read\r\n+@fast\r\n",
	} {
		if got := c.ask("COMMAND INFO " + name); !strings.HasPrefix(got, "*1\r\n"+want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// TestBlockedManyKeys has clients wait for as many keys as there may be, and vanish: others can wait for as many then.
func TestBlockedManyKeys(t *testing.T) {
	const keys, clients = 100, 5
	o := durable(t)
	o.Limits.Streams.Watched = keys * clients
	s := serve(t, "", o, engine.Limits{})
	wait := func(c *client, i int) {
		args := []string{"XREAD", "BLOCK", "0", "STREAMS"}
		for k := range keys {
			args = append(args, fmt.Sprintf("k/%d/%d", i, k))
		}
		c.send(request(append(args, slices.Repeat([]string{"$"}, keys)...)...))
	}
	for range 3 {
		var all []*client
		for i := range clients {
			c := s.dial()
			wait(c, i)
			all = append(all, c)
		}
		s.blocked(clients)
		one := s.dial()
		if got := one.ask("XREAD BLOCK 0 STREAMS k $"); !strings.HasPrefix(got, "-ERR clients wait for entries of 500 keys, and no more than 500 are allowed") {
			t.Error(got)
		}
		for _, c := range all {
			c.Close()
		}
		s.blocked(0)
	}
}

// TestBlockedStreamRemoved removes the stream under clients that wait for it, and makes it again: they learn of it, and of what comes then.
func TestBlockedStreamRemoved(t *testing.T) {
	o := durable(t)
	s := serve(t, "", o, engine.Limits{})
	reader, member, other := s.dial(), s.dial(), s.dial()
	for i := range 9 {
		other.ask(fmt.Sprintf("XADD k 1-%d f v", i+1))
	}
	other.want("XGROUP CREATE k g $", "+OK\r\n")
	reader.send(request("XREAD", "BLOCK", "0", "STREAMS", "k", "$"))
	member.send(request("XREADGROUP", "GROUP", "g", "x", "BLOCK", "0", "STREAMS", "k", ">"))
	s.blocked(2)
	if err := o.Bus.Streams().Remove(t.Context(), "k", false); err != nil {
		t.Fatal(err)
	}
	member.wantReply("-UNBLOCKED the stream key no longer exists\r\n")
	other.want("XADD k 2-1 f v", "$3\r\n2-1\r\n")
	reader.wantReply(strings.Replace(entry11, "1-1", "2-1", 1))
	other.want("XLEN k", ":1\r\n")
	other.want("XINFO GROUPS k", "*0\r\n")
}

// TestClaimBytes ends XCLAIM and XAUTOCLAIM at 8 MiB, and goes on where they say.
func TestClaimBytes(t *testing.T) {
	const large, many = 1 << 20, 20
	s := serve(t, "", durable(t), engine.Limits{Message: 4 << 20, Buffered: 64 << 20})
	c := s.dial()
	claim := []string{"XCLAIM", "k", "g", "y", "0"}
	for i := range many {
		id := fmt.Sprintf("1-%d", i+1)
		c.send(request("XADD", "k", id, "data", strings.Repeat("x", large)))
		c.reply()
		claim = append(claim, id)
	}
	c.want("XGROUP CREATE k g 0", "+OK\r\n")
	for want := range 3 { // 8 MiB, 8, and the rest
		if got := c.ask("XREADGROUP GROUP g x STREAMS k >"); len(got) > 9<<20 || want < 2 && len(got) < 7<<20 {
			t.Errorf("XREADGROUP: %d bytes", len(got))
		}
	}
	if got := c.ask("XAUTOCLAIM k g y 0 0 COUNT 1000"); !strings.HasPrefix(got, "*3\r\n$3\r\n1-9\r\n*8\r\n") || len(got) > 9<<20 {
		t.Errorf("XAUTOCLAIM: %.40q, %d bytes", got, len(got))
	}
	if got := c.ask("XAUTOCLAIM k g y 0 0 COUNT 1000 JUSTID"); !strings.HasPrefix(got, "*3\r\n$3\r\n0-0\r\n*20\r\n") {
		t.Errorf("XAUTOCLAIM JUSTID: %.40q", got)
	}
	if got := c.ask(strings.Join(claim, " ")); !strings.HasPrefix(got, "*8\r\n") || len(got) > 9<<20 {
		t.Errorf("XCLAIM: %.40q, %d bytes", got, len(got))
	}
}

// A key is a subject: the name of a stream that captures others is no key to write to, since that would make a second stream.
func TestNameOfAStreamIsNoKey(t *testing.T) {
	o := durable(t)
	if _, err := o.Bus.Streams().Create(t.Context(), stream.Config{Name: "readings", Subjects: []string{"sensors/#"}}); err != nil {
		t.Fatal(err)
	}
	c := serve(t, "", o, engine.Limits{}).dial()
	for _, line := range []string{"XADD readings * a b", "XGROUP CREATE readings g 0 MKSTREAM"} {
		c.want(line, "-ERR the key is the name of a stream that does not capture it: a key is a subject; use one that the stream captures\r\n")
	}
	c.want("XREAD STREAMS readings 0", "*-1\r\n")
	c.want("XADD sensors/hall 5-1 a b", "$3\r\n5-1\r\n")
	if n := len(o.Bus.Streams().List()); n != 1 {
		t.Errorf("there are %d streams", n)
	}
}

// TestReservedKeys lets nobody write to what only consumers publish.
func TestReservedKeys(t *testing.T) {
	s := serve(t, "", durable(t), engine.Limits{})
	c := s.dial()
	for _, line := range []string{"XADD $dead/c * f v", "XTRIM $dead/c MAXLEN 0", "XDEL $redrive/c 1-1", "DEL $dead/c", "XSETID $dead 1-1", "XGROUP CREATE $dead/c g 0 MKSTREAM",
		"XADD $SYS/broker/uptime * f v", "XADD $spate/dropped * f v"} {
		c.want(line, "-ERR the subject is reserved: only the server publishes on it\r\n")
	}
	c.want("XLEN $dead/c", ":0\r\n")
}
