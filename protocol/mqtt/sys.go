package mqtt

import (
	"encoding/json"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spate-io/spate/event"
)

// counters are since the broker was made; connected is of now.
type counters struct {
	packetsIn       atomic.Uint64
	received        [3]atomic.Uint64 // messages from clients, by QoS
	sent            [3]atomic.Uint64 // messages to clients, by QoS
	dropped         [3]atomic.Uint64 // messages that did not reach a session, by QoS
	refused         atomic.Uint64    // messages that were not allowed
	failed          atomic.Uint64    // messages that could not be stored
	expired         atomic.Uint64
	tooLarge        atomic.Uint64
	wills           atomic.Uint64
	connects        atomic.Uint64
	connected       atomic.Int64
	takeovers       atomic.Uint64
	expiredSessions atomic.Uint64
	strangeAcks     atomic.Uint64
}

// Stats are the broker's counters since it was made, and its sizes of now.
type Stats struct {
	Connected       int       // clients
	Sessions        int       // sessions, with those whose clients are away
	Lasting         int       // those that outlive their connections
	Retained        int       // retained messages
	Connects        uint64    // clients that were let in
	Takeovers       uint64    // sessions that were taken from a connection
	ExpiredSessions uint64    // sessions whose time was over
	Packets         uint64    // packets from clients
	Received        [3]uint64 // messages from clients, by QoS
	Sent            [3]uint64 // messages to clients, by QoS
	Dropped         [3]uint64 // messages that did not reach a session, by QoS
	Refused         uint64    // messages that were not allowed
	Failed          uint64    // messages that could not be stored
	Expired         uint64    // messages whose expiry had passed before they were sent
	TooLarge        uint64    // messages larger than a client takes
	Wills           uint64    // wills that were published
}

// Stats returns the counters. They are read one after the other, so they may be some messages apart.
func (b *Broker) Stats() Stats {
	c := &b.count
	s := Stats{
		Connected: int(c.connected.Load()), Retained: int(b.retained.count.Load()), Connects: c.connects.Load(), Takeovers: c.takeovers.Load(),
		ExpiredSessions: c.expiredSessions.Load(), Packets: c.packetsIn.Load(), Refused: c.refused.Load(), Failed: c.failed.Load(),
		Expired: c.expired.Load(), TooLarge: c.tooLarge.Load(), Wills: c.wills.Load(),
	}
	for qos := range 3 {
		s.Received[qos], s.Sent[qos], s.Dropped[qos] = c.received[qos].Load(), c.sent[qos].Load(), c.dropped[qos].Load()
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	s.Sessions, s.Lasting = len(b.sessions), b.lasting
	return s
}

// losses are messages of QoS 1 and 2 that sessions have lost, to be told on $spate/dropped: what one session loses between two sweeps is one event.
type losses struct {
	mu  sync.Mutex
	all map[loss]int
}

type loss struct{ client, why string }

// maxLosses bounds the sessions that are told of one by one; of the rest, the counters tell.
const maxLosses = 10_000

func (l *losses) add(client, why string, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all == nil {
		l.all = map[loss]int{}
	}
	key := loss{client, why}
	if _, has := l.all[key]; has || len(l.all) < maxLosses {
		l.all[key] += n
	}
}

func (l *losses) take() map[loss]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.all
	l.all = nil
	return all
}

// DroppedSubject is where messages of QoS 1 and 2 are told of that a session has lost: {"client":…,"why":…,"messages":…}.
const DroppedSubject = "$spate/dropped"

// publishLosses tells what sessions have lost.
func (b *Broker) publishLosses() {
	for l, n := range b.losses.take() {
		data, _ := json.Marshal(struct {
			Client   string `json:"client"`
			Why      string `json:"why"`
			Messages int    `json:"messages"`
		}{l.client, l.why, n})
		_, _ = b.bus.PublishReserved(nil, &event.Event{Subject: DroppedSubject, Data: data, Headers: []event.Header{{Name: event.ContentType, Value: "application/json"}}})
	}
}

// publishSys publishes the figures below $SYS, for whoever subscribes to them.
func (b *Broker) publishSys() {
	s := b.Stats()
	put := func(topic string, value any) {
		var text string
		switch v := value.(type) {
		case string:
			text = v
		case int:
			text = strconv.Itoa(v)
		case uint64:
			text = strconv.FormatUint(v, 10)
		}
		_, _ = b.bus.PublishReserved(&publication{}, &event.Event{Subject: "$SYS/broker/" + topic, Data: []byte(text)})
	}
	put("uptime", strconv.FormatInt(int64(b.now().Sub(b.started)/time.Second), 10)+" seconds")
	put("clients/connected", s.Connected)
	put("clients/total", s.Sessions)
	put("clients/disconnected", max(0, s.Sessions-s.Connected))
	put("clients/expired", s.ExpiredSessions)
	put("messages/received", s.Received[0]+s.Received[1]+s.Received[2])
	put("messages/sent", s.Sent[0]+s.Sent[1]+s.Sent[2])
	put("publish/messages/dropped", s.Dropped[0]+s.Dropped[1]+s.Dropped[2])
	put("retained messages/count", s.Retained)
	put("packets/received", s.Packets)
}
