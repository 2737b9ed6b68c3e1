package mqtt_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spate-io/spate/auth"
	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/protocol/mqtt"
	"github.com/spate-io/spate/protocol/mqtt/packet"
)

// connectPacket is a CONNECT that would be accepted.
func connectPacket(id string) []byte {
	return packet.AppendConnect(nil, &packet.ConnectPacket{Version: packet.V5, CleanStart: true, ClientID: id})
}

// publishPacket is a PUBLISH.
func publishPacket(topic string, qos byte, id uint16) []byte {
	return packet.AppendPublish(nil, packet.V5, &packet.OutPublish{Topic: topic, QoS: qos, ID: id, Payload: []byte("x")})
}

// subscribePacket is a SUBSCRIBE with so many filters.
func subscribePacket(n int, filter string) []byte {
	p := &packet.SubscribePacket{ID: 1}
	for range n {
		p.Filters = append(p.Filters, packet.Subscription{Filter: filter})
	}
	return packet.AppendSubscribe(nil, packet.V5, p)
}

// userProperties are so many of them, encoded.
func userProperties(n int) []byte {
	one := []byte{byte(packet.User), 0, 1, 'a', 0, 1, 'b'}
	return bytes.Repeat(one, n)
}

// length is a variable byte integer.
func length(n int) []byte {
	var out []byte
	for {
		b := byte(n & 0x7f)
		if n >>= 7; n > 0 {
			out = append(out, b|0x80)
			continue
		}
		return append(out, b)
	}
}

// Each hostile client is closed for a coded reason, and those beside it notice nothing.
func TestHostileClients(t *testing.T) {
	deep := strings.Repeat("/", 500)
	tests := []struct {
		name  string
		known bool // it has connected before
		send  []byte
		want  engine.Reason
	}{
		{"bytes of another protocol", false, []byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"), engine.ReasonProtocol},
		{"a first packet that is no CONNECT", false, publishPacket("a", 0, 0), engine.ReasonProtocol},
		{"a ping before the CONNECT", false, packet.AppendPingreq(nil), engine.ReasonProtocol},
		{"a length of five bytes", false, []byte{0x10, 0xff, 0xff, 0xff, 0xff, 0x7f}, engine.ReasonProtocol},
		{"a CONNECT of 200 MB announced", false, append([]byte{0x10}, length(200<<20)...), engine.ReasonTooLarge},
		{"a CONNECT larger than is taken of strangers", false, append([]byte{0x10}, length(100<<10)...), engine.ReasonTooLarge},
		{"a CONNECT whose texts end beyond it", false, framed(0x10, "\x00\x04MQTT\x05\x02\x00\x00\x00\xea\x60"), engine.ReasonProtocol},
		{"properties that end beyond the CONNECT", false, framed(0x10, "\x00\x04MQTT\x05\x02\x00\x00"+string(length(100_000))), engine.ReasonProtocol},
		{"thousands of user properties", false, connectWith(userProperties(5000)), engine.ReasonProtocol},
		{"the CONNECT twice", true, connectPacket("again"), engine.ReasonProtocol},
		{"a packet larger than granted", true, append([]byte{0x30}, length(2<<20)...), engine.ReasonTooLarge},
		{"QoS 3", true, []byte{0x36, 5, 0, 1, 'a', 0, 1}, engine.ReasonProtocol},
		{"a topic with wildcards", true, publishPacket("a/+/#", 0, 0), engine.ReasonProtocol},
		{"packet identifier 0", true, []byte{0x32, 6, 0, 1, 'a', 0, 0, 0}, engine.ReasonProtocol},
		{"an alias of nothing", true, []byte{0x30, 6, 0, 0, 3, byte(packet.TopicAlias), 0, 1}, engine.ReasonProtocol},
		{"an alias beyond the maximum", true, []byte{0x30, 7, 0, 1, 'a', 3, byte(packet.TopicAlias), 0xff, 0xff}, engine.ReasonProtocol},
		{"thousands of filters", true, subscribePacket(5000, "a"), engine.ReasonProtocol},
		{"a filter with a wildcard in a wrong place", true, subscribePacket(1, "a/#/b"), engine.ReasonProtocol},
		{"what only servers send", true, []byte{0xd0, 0}, engine.ReasonProtocol},
		{"a type that does not exist", true, []byte{0x00, 0}, engine.ReasonProtocol},
		{"packets after the DISCONNECT", true, append(packet.AppendDisconnect(nil, packet.V5, 0, nil), publishPacket("bystander", 0, 0)...), engine.ReasonQuit},
		{"more in flight than granted", true, manyPublishes(200), engine.ReasonProtocol},
		{"a topic that is too deep", true, append(publishPacket(deep, 1, 1), packet.AppendDisconnect(nil, packet.V5, 0, nil)...), engine.ReasonQuit},
	}
	b := newBroker(t, settings{config: mqtt.Config{Limits: mqtt.Limits{Receive: 100}}})
	beside := b.connect(t, packet.V5, "beside").sub(0, "bystander")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := b.App().Engine().Stats().Closed[tt.want]
			c := b.open(t, packet.V5)
			if tt.known {
				c.hello("hostile").accepted()
			}
			c.send(tt.send)
			c.ended()
			if !until(func() bool { return b.App().Engine().Stats().Closed[tt.want] > before }) {
				t.Errorf("it was not closed for %s: %v", tt.want, b.App().Engine().Stats().Closed)
			}
			beside.t = t
			beside.say("bystander", tt.name, 0)
			beside.gets("bystander=" + tt.name + " q0")
		})
	}
	if n := b.App().Engine().Stats().Panics; n != 0 {
		t.Errorf("%d panics", n)
	}
}

// framed is a packet of any kind.
func framed(first byte, body string) []byte {
	return append(append([]byte{first}, length(len(body))...), body...)
}

// connectWith is a CONNECT with properties.
func connectWith(properties []byte) []byte {
	return framed(0x10, "\x00\x04MQTT\x05\x02\x00\x00"+string(length(len(properties)))+string(properties)+"\x00\x01x")
}

// manyPublishes are messages of QoS 2 whose PUBREL never comes.
func manyPublishes(n int) (all []byte) {
	for i := range n {
		all = append(all, publishPacket("in/flight", 2, uint16(i+1))...)
	}
	return all
}

// until waits for what must become true.
func until(what func() bool) bool {
	for end := time.Now().Add(patience); time.Now().Before(end); <-time.After(5 * time.Millisecond) {
		if what() {
			return true
		}
	}
	return false
}

// Random bytes, and good packets that were changed or cut at random, end their connection at most.
func TestGarbage(t *testing.T) {
	b := newBroker(t, settings{lenient: true})
	beside := b.connect(t, packet.V5, "beside").sub(1, "bystander")
	good := [][]byte{
		publishPacket("a/b", 0, 0), publishPacket("a/b", 1, 1), publishPacket("a/b", 2, 2), subscribePacket(2, "a/#"),
		packet.AppendAck(nil, packet.V5, packet.Pubrel, 2, 0, nil), packet.AppendPingreq(nil),
		packet.AppendUnsubscribe(nil, packet.V5, &packet.UnsubscribePacket{ID: 3, Filters: []string{"a/#"}}),
	}
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	for i := range 300 {
		c := b.open(t, packet.V5)
		out := connectPacket(fmt.Sprint("garbage", i%10))
		for range 1 + r.IntN(5) {
			out = append(out, good[r.IntN(len(good))]...)
		}
		for range r.IntN(4) {
			out[r.IntN(len(out))] = byte(r.Uint32())
		}
		c.send(out[:1+r.IntN(len(out))])
		_ = c.conn.Close()
	}
	beside.say("bystander", "still here", 1)
	beside.gets("bystander=still here q1")
	if n := b.App().Engine().Stats().Panics; n != 0 {
		t.Errorf("seed %d: %d panics", seed, n)
	}
}

// A client that never reads costs a bounded amount of memory at each QoS, and publishers and other subscribers go on.
func TestNeverReading(t *testing.T) {
	const limit, messages, size = 256 << 10, 2000, 4 << 10
	b := newBroker(t, settings{limits: engine.Limits{Buffered: limit}, config: mqtt.Config{Limits: mqtt.Limits{QueueMemory: limit}}})
	for qos := range byte(3) {
		stuck := b.connect(t, packet.V5, fmt.Sprint("stuck", qos))
		stuck.sub(qos, fmt.Sprint("flood/", qos))
	}
	beside := b.connect(t, packet.V5, "beside").sub(0, "bystander")
	publisher := b.connect(t, packet.V5, "publisher")
	payload := strings.Repeat("x", size)
	before := heap()
	for qos := range byte(3) {
		for range messages {
			publisher.say(fmt.Sprint("flood/", qos), payload, qos)
		}
	}
	beside.say("bystander", "still here", 0)
	beside.gets("bystander=still here q0")
	const recorded = 3 * messages * (size + 512)             // the node of the test keeps what is published
	if grown := heap() - before; grown > recorded+12*limit { // three clients: what waits to be sent, and in memory, and twice for the growth of slices
		t.Errorf("the heap has grown by %d KiB", grown>>10)
	}
	if held := b.App().Engine().Stats().Buffered; held > 3*2*limit {
		t.Errorf("%d KiB wait to be sent", held>>10)
	}
	if b.App().MQTT().Stats().Dropped == [3]uint64{} {
		t.Error("nothing was counted as dropped")
	}
}

func heap() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// A client that sends byte by byte, or half a CONNECT, holds no more than that, and is closed in time.
func TestSlowConnect(t *testing.T) {
	b := newBroker(t, settings{limits: engine.Limits{FirstTimeout: 500 * time.Millisecond, RequestTimeout: 500 * time.Millisecond}})
	whole := connectPacket("slow")
	for _, n := range []int{0, 1, 3, len(whole) - 1} {
		c := b.open(t, packet.V5)
		for i := range n {
			c.send(whole[i : i+1])
		}
		c.ended()
	}
	c := b.open(t, packet.V5)
	for i := range whole {
		c.send(whole[i : i+1])
	}
	c.id = "slow"
	c.accepted()
}

// A right that is withdrawn counts for what was queued and retained before, and for what is subscribed.
func TestWithdrawnRights(t *testing.T) {
	users := map[string]string{"root": "r", "reader": "s"}
	b := newBroker(t, settings{users: users})
	root := b.connect(t, packet.V5, "root", user("root", "r"))
	reader := b.connect(t, packet.V5, "reader", user("reader", "s"), resume, expiry(1000)).sub(1, "news/#")
	reader.bye()
	root.retain("news/kept", "secret", 1)
	root.say("news/queued", "secret", 1)
	root.say("end", "x", 1)

	config := b.auth
	config.Roles = map[string]auth.Role{
		"all":  config.Roles["all"],
		"news": {Publish: []string{"end"}, Subscribe: []string{"end"}},
	}
	if err := b.App().Auth().Reload(config); err != nil {
		t.Fatal(err)
	}
	reader = b.connect(t, packet.V5, "reader", user("reader", "s"), resume, expiry(1000))
	if codes := reader.subscribe(nil, packet.Subscription{Filter: "news/#", QoS: 1}, packet.Subscription{Filter: "end", QoS: 1}); codes[0] != packet.NotAuthorized || codes[1] != packet.GrantedQoS1 {
		t.Fatalf("codes %v", codes)
	}
	root.say("news/live", "secret", 1)
	root.say("end", "over", 1)
	reader.gets("end=over q1") // and nothing before
}

// A session is its user's: another one does not get it, and an identifier with wildcards is only a name.
func TestForeignSession(t *testing.T) {
	b := newBroker(t, settings{users: map[string]string{"root": "r", "anna": "a", "bert": "b"}})
	anna := b.connect(t, packet.V5, "same", user("anna", "a"), resume, expiry(1000)).sub(1, "news/#")
	for _, o := range [][]option{{user("bert", "b")}, {user("bert", "b"), resume, expiry(1000)}} {
		b.open(t, packet.V5).hello("same", o...).denied(packet.ClientIdentifierNotValid)
	}
	anna.say("news/1", "mine", 1)
	anna.gets("news/1=mine q1")
	anna.bye()
	b.open(t, packet.V5).hello("same", user("bert", "b")).denied(packet.ClientIdentifierNotValid)
	for _, id := range []string{"+", "#", "news/#", "$share/a/b", "anna/../bert"} {
		c := b.connect(t, packet.V5, id, user("bert", "b"))
		if codes := c.subscribe(nil, packet.Subscription{Filter: "secret/#"}); codes[0] != packet.NotAuthorized {
			t.Errorf("%q may subscribe: %v", id, codes)
		}
		c.bye()
	}
}

// What is the server's own cannot be published, whoever one is.
func TestReservedTopics(t *testing.T) {
	b := newBroker(t, settings{})
	c := b.connect(t, packet.V5, "c")
	for i, topic := range []string{"$SYS/broker/uptime", "$mqtt", "$mqtt/a", "$dead/a", "$redrive/a", "$devices/c/presence", "$inbox/a", "$spate/dropped"} {
		id := uint16(i + 1)
		c.send(publishPacket(topic, 1, id))
		c.ack(packet.Puback, id, packet.NotAuthorized)
	}
}

// No log line has a password, whatever goes wrong.
func TestNoSecretsInLogs(t *testing.T) {
	var log lockedBuffer
	b := newBroker(t, settings{users: map[string]string{"root": "hunter2"}, log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	b.connect(t, packet.V5, "c", user("root", "hunter2")).bye()
	b.open(t, packet.V5).hello("c", user("root", "wrong-hunter2")).denied(packet.BadUserNameOrPassword)
	b.open(t, packet.V5).hello("c", user("hunter2", "hunter2")).denied(packet.BadUserNameOrPassword)
	broken := packet.AppendConnect(nil, &packet.ConnectPacket{Version: packet.V5, ClientID: "c", HasUsername: true, HasPassword: true, Username: "root", Password: []byte("hunter2")})
	broken[9] |= 1 // the reserved flag
	c := b.open(t, packet.V5)
	c.send(broken)
	c.ended()
	if strings.Contains(log.String(), "hunter2") {
		t.Errorf("the log has the password:\n%s", log.String())
	}
}

// denied reads a CONNACK that refuses, and the end.
func (c *client) denied(code packet.Code) {
	c.t.Helper()
	if ack := c.answer(); ack.Code != code {
		c.t.Errorf("%s got %s, want %s", c.id, ack.Code, code)
	}
	c.ended()
}

// A lockedBuffer is what several goroutines write.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// A client that reads slowly gets all retained messages of QoS 0, many times what may wait for it, and nobody else is held up meanwhile.
func TestSlowReaderOfRetained(t *testing.T) {
	const limit, messages = 64 << 10, 400
	b := newBroker(t, settings{limits: engine.Limits{Buffered: limit}})
	publisher := b.connect(t, packet.V5, "publisher")
	payload := strings.Repeat("x", 4<<10)
	for i := range messages {
		publisher.retain(fmt.Sprintf("kept/%03d", i), payload, 0)
	}
	publisher.ping()
	slow := b.connect(t, packet.V5, "slow")
	slow.send(packet.AppendSubscribe(nil, packet.V5, &packet.SubscribePacket{ID: 1, Filters: []packet.Subscription{{Filter: "kept/#"}}}))
	for range 20 {
		publisher.ping()
		pass(10 * time.Millisecond)
	}
	slow.want(packet.Suback)
	for i := range messages {
		if m := slow.message(); m.Topic != fmt.Sprintf("kept/%03d", i) || !m.Retain {
			t.Fatalf("message %d is %.40s", i, m)
		}
	}
}

// One client's filters cannot make the server keep a pair for each two of them, nor look at each two.
func TestManyOverlaps(t *testing.T) {
	b := newBroker(t, settings{})
	c := b.connect(t, packet.V5, "c")
	refused := 0
	for i := range 12 {
		p := &packet.SubscribePacket{}
		for k := range 100 {
			p.Filters = append(p.Filters, packet.Subscription{Filter: fmt.Sprintf("+/%s%d/#", strings.Repeat("+/", k%5), i*100+k)})
		}
		for _, code := range c.subscribe(nil, p.Filters...) {
			if code == packet.QuotaExceeded {
				refused++
			}
		}
	}
	if refused == 0 {
		t.Error("all were taken")
	}
	c.say("a/0/x", "one", 0)
	c.gets("a/0/x=one q0")
}

// What is withdrawn from one member of a shared subscription goes to another one.
func TestShareAfterARightIsWithdrawn(t *testing.T) {
	b := newBroker(t, settings{users: map[string]string{"root": "r", "anna": "a"}})
	root := b.connect(t, packet.V5, "root", user("root", "r"), resume, expiry(100)).sub(1, "$share/g/news/#")
	anna := b.connect(t, packet.V5, "anna", user("anna", "a"), resume, expiry(100)).sub(1, "$share/g/news/#")
	config := b.auth
	config.Roles = map[string]auth.Role{"all": config.Roles["all"], "news": {Subscribe: []string{"end"}}}
	if err := b.App().Auth().Reload(config); err != nil {
		t.Fatal(err)
	}
	publisher := b.connect(t, packet.V5, "publisher", user("root", "r"))
	var want []string
	for i := range 10 {
		publisher.say(fmt.Sprint("news/", i), "x", 1)
		want = append(want, fmt.Sprintf("news/%d=x q1", i))
	}
	root.gets(want...)
	_ = anna
}

// A will that waits is published although its client has been refused when it came back.
func TestDelayedWillOfARefusedClient(t *testing.T) {
	b := newBroker(t, settings{})
	watch := b.connect(t, packet.V5, "watch").sub(0, "w")
	delayed := will(packet.Will{Topic: "w", Payload: []byte("gone"), Properties: (&packet.Properties{WillDelay: 1}).Set(packet.WillDelay)})
	b.connect(t, packet.V5, "c", resume, expiry(100), delayed).kill()
	again := b.open(t, packet.V5).hello("c", resume, expiry(100), with(func(p *packet.Properties) {
		p.MaximumPacketSize = 5
		p.Set(packet.MaximumPacketSize)
	}))
	again.ended()
	watch.gets("w=gone q0")
}

// After a crash, the will of a client is published only if its user may still publish it.
func TestWillAfterARightIsWithdrawn(t *testing.T) {
	for withdrawn, grace := range map[bool]time.Duration{false: time.Millisecond, true: 3 * time.Second} { // the rules change within it
		var log lockedBuffer
		b := newBroker(t, settings{
			users: map[string]string{"root": "r", "anna": "a"}, config: mqtt.Config{WillGrace: grace},
			log: slog.New(slog.NewTextHandler(&log, nil)),
		})
		b.connect(t, packet.V5, "watch", user("root", "r"), expiry(100)).sub(1, "news/#")
		b.connect(t, packet.V5, "anna", user("anna", "a"), will(packet.Will{Topic: "news/anna", Payload: []byte("gone"), QoS: 1}))
		b.Crash()
		if withdrawn {
			config := b.auth
			config.Roles = map[string]auth.Role{"all": config.Roles["all"], "news": {Publish: []string{"end"}}}
			if err := b.App().Auth().Reload(config); err != nil {
				t.Fatal(err)
			}
		}
		watch := b.connect(t, packet.V5, "watch", user("root", "r"), resume, expiry(100))
		if withdrawn && !until(func() bool { return strings.Contains(log.String(), "a will is not published") }) {
			t.Error("nobody is told that the will is not published")
		}
		if withdrawn {
			watch.say("news/end", "x", 0)
			watch.gets("news/end=x q0")
		} else {
			watch.gets("news/anna=gone q1")
		}
	}
}
