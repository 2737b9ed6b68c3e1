package crash

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spate-io/spate/internal/mqttclient"
	"github.com/spate-io/spate/protocol/mqtt/packet"
)

// check compares what every reader has with what was sent. After settle, all of it is acknowledged.
func (f *fleet) check() {
	f.t.Helper()
	if f.t.Failed() {
		return // it is not complete
	}
	messages, received := 0, 0
	for _, p := range f.senders {
		for _, to := range p.topics {
			messages += len(to.sent)
			for _, r := range f.readers {
				f.checkTopic(r, to)
				received += len(r.got[to.name])
			}
		}
	}
	lived := 0
	for _, m := range f.mortals {
		if m.lived {
			lived++
		}
		for _, r := range f.readers {
			f.checkWill(r, m)
		}
	}
	f.t.Logf("%d messages were acknowledged, and received %d times by %d readers; %d wills", messages, received, len(f.readers), lived)
}

// checkTopic wants every message of a topic, the first copy of each in order, and no second copy of QoS 2.
func (f *fleet) checkTopic(r *reader, to *topic) {
	f.t.Helper()
	qos, next := r.qos(to), 0
	for i, got := range r.got[to.name] {
		n, err := strconv.Atoi(got.payload)
		switch {
		case qos == 0:
			f.wrong(r, to, n, "was received without a subscription")
			return
		case err != nil || n >= len(to.sent):
			f.wrong(r, to, n, fmt.Sprintf("was never sent: %q", got.payload))
			return
		case n == next:
			next++
		case n > next:
			f.wrong(r, to, next, fmt.Sprintf("is lost, or comes after %d (receipt %d)", n, i))
			return
		case qos == 2:
			f.wrong(r, to, n, "came twice")
			return
		}
	}
	if qos > 0 && next < len(to.sent) {
		f.wrong(r, to, next, "is lost")
	}
}

func (f *fleet) checkWill(r *reader, m *mortal) {
	f.t.Helper()
	got := r.got[m.topic()]
	if r.granted(m.topic()) == 0 {
		return
	}
	if len(got) > 1 || len(got) == 0 && m.lived {
		f.t.Errorf("%s has received the will of %s, which was connected: %t, %d times: %+v", r.id, m.id, m.lived, len(got), got)
	}
}

// wrong tells the history of a message, and of those before and behind it.
func (f *fleet) wrong(r *reader, to *topic, n int, what string) {
	f.t.Helper()
	var b strings.Builder
	for i := max(0, n-2); i < min(len(to.sent), n+3); i++ {
		m := to.sent[i]
		fmt.Fprintf(&b, "%d was sent with QoS %d in round %d by connection %d\n", i, to.qos, m.round, m.dialed)
		for at, got := range r.got[to.name] {
			if got.payload == fmt.Sprint(i) {
				fmt.Fprintf(&b, "\tcame as receipt %d in round %d by connection %d: QoS %d, identifier %d, DUP %t\n", at, got.round, got.dialed, got.qos, got.id, got.dup)
			}
		}
	}
	f.t.Errorf("%s: message %d of %s %s\n%s", r.id, n, to.name, what, &b)
}

// checkRetained wants the last message of each topic.
func (f *fleet) checkRetained(ctx context.Context) {
	f.t.Helper()
	c, err := mqttclient.Dial(ctx, "mqtt+unix://"+filepath.Join(f.dir, mqttSocket), mqttclient.Options{})
	if err != nil {
		f.t.Error(err)
		return
	}
	defer c.Close()
	if _, err := c.Subscribe(ctx, packet.Subscription{Filter: "r/#", QoS: 1}); err != nil {
		f.t.Error(err)
	}
	got := map[string]string{}
	for range f.keeper.topics {
		if m, ok := receive(ctx, c, 10*time.Second); ok && m.Retain {
			got[m.Topic] = string(m.Payload)
		}
	}
	for _, to := range f.keeper.topics {
		if want := fmt.Sprint(len(to.sent) - 1); got[to.name] != want {
			f.t.Errorf("%s retains %q, not %q", to.name, got[to.name], want)
		}
	}
}

// The checks themselves see what is wrong.
func TestSessionChecks(t *testing.T) {
	for name, c := range map[string]struct {
		qos  byte
		got  []string
		good bool
	}{
		"all":                       {2, []string{"0", "1", "2"}, true},
		"QoS 1 again":               {1, []string{"0", "1", "0", "1", "2"}, true},
		"QoS 2 again":               {2, []string{"0", "1", "1", "2"}, false},
		"the first copies in order": {1, []string{"0", "2", "1", "2"}, false},
		"the last is missing":       {1, []string{"0", "1"}, false},
		"one is missing":            {2, []string{"0", "2"}, false},
		"nothing":                   {1, nil, false},
		"never sent":                {1, []string{"0", "1", "2", "3"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := &reader{peer: &peer{id: "reader"}, subs: []packet.Subscription{{Filter: "a", QoS: 2}}, got: map[string][]receipt{}}
			for _, payload := range c.got {
				r.got["a"] = append(r.got["a"], receipt{payload: payload})
			}
			inner := &testing.T{}
			(&fleet{t: inner}).checkTopic(r, &topic{name: "a", qos: c.qos, sent: []*sent{{}, {}, {}}})
			if inner.Failed() == c.good {
				t.Errorf("failed: %t", inner.Failed())
			}
		})
	}
}
