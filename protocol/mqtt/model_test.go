package mqtt

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/protocol/mqtt/packet"
)

var (
	modelRuns  = flag.Int("runs", 0, "how many runs TestModel makes; 0: as many as it has the time for by default")
	modelSeed  = flag.Uint64("seed", 1, "the seed of the first run of TestModel")
	modelSteps = flag.Int("steps", 60, "the steps of each run")
)

// TestModel drives clients at random against a broker and a model of its sessions. What fails is shrunk to few steps and printed, for a table.
func TestModel(t *testing.T) {
	runs := *modelRuns
	if runs == 0 {
		if runs = 400; testing.Short() {
			runs = 100
		}
	}
	for i := range runs {
		seed := *modelSeed + uint64(i)
		ops := randomOps(seed, *modelSteps)
		err := play(t, ops)
		if err == nil {
			continue
		}
		ops, err = shrink(t, ops, err)
		t.Fatalf("seed %d: after these steps: %v\n%s", seed, err, script(ops))
	}
}

// FuzzModel has the fuzzer choose the steps.
func FuzzModel(f *testing.F) {
	for seed := range uint64(4) {
		var b []byte
		for _, o := range randomOps(seed, 30) {
			b = append(b, o.kind, o.client, o.a, o.b, o.c)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		ops := opsOf(b[:min(len(b), 100*opBytes)])
		if err := play(t, ops); err != nil {
			t.Fatalf("after these steps: %v\n%s", err, script(ops))
		}
	})
}

// weights are how often a kind of step is chosen.
var weights = [opKinds]int{
	opConnect: 16, opDisconnect: 4, opDrop: 7, opSubscribe: 15, opUnsubscribe: 4, opPublish: 24, opPublishMore: 8, opAck: 14, opAckAll: 3, opRelease: 3, opOther: 3,
	opWait: 4, opCrash: 2,
}

func randomOps(seed uint64, n int) []op {
	r := rand.New(rand.NewPCG(seed, 4))
	total := 0
	for _, w := range weights {
		total += w
	}
	ops := make([]op, n)
	for i := range ops {
		o := op{0, byte(r.IntN(clients)), byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32())}
		for at := r.IntN(total); at >= weights[o.kind]; o.kind++ {
			at -= weights[o.kind]
		}
		if i < clients {
			o.kind, o.client = opConnect, byte(i)
		}
		ops[i] = o
	}
	return ops
}

func script(ops []op) string {
	var b strings.Builder
	for _, o := range ops {
		fmt.Fprintln(&b, "\t"+o.String())
	}
	return b.String()
}

// play runs steps in a bubble of their own.
func play(t *testing.T, ops []op) (err error) {
	synctest.Test(t, func(t *testing.T) {
		r := &run{
			rig:   newRig(t, Config{Limits: Limits{Inflight: modelInflight}, ByKey: []string{"k"}}),
			model: &model{retained: map[string]*mMessage{}, groups: map[string]*mGroup{}},
		}
		for i := range byte(clients) {
			r.model.clients = append(r.model.clients, &mClient{id: clientID(i), taken: map[uint16]string{}})
		}
		for i, o := range ops {
			if err = r.step(o); err != nil {
				err = fmt.Errorf("step %d: %w", i+1, err)
				break
			}
		}
		if n := r.rig.life.engine.Stats().Closed[engine.ReasonPanic]; n > 0 && err == nil {
			err = errors.New("a session has panicked")
		}
		for _, c := range r.model.clients {
			if c.peer != nil {
				c.peer.close()
			}
		}
		r.rig.close()
	})
	return err
}

// shrink leaves out what is not needed to fail.
func shrink(t *testing.T, ops []op, err error) ([]op, error) {
	until := time.Now().Add(20 * time.Second)
	for size := len(ops) / 2; size > 0; {
		smaller := false
		for at := 0; at+size <= len(ops) && time.Now().Before(until); {
			less := slices.Concat(ops[:at], ops[at+size:])
			if e := play(t, less); e != nil {
				ops, err, smaller = less, e, true
				continue
			}
			at += size
		}
		if !smaller || size > 1 {
			size /= 2
		}
	}
	return ops, err
}

// observe waits until all is done, and compares what the clients got with what they were to get.
func (r *run) observe() error {
	synctest.Wait()
	for _, c := range r.model.clients {
		if !c.connected() {
			c.want, c.rels, c.acks = nil, nil, nil
			continue
		}
		got, err := c.peer.sort()
		if err == nil {
			got.publishes, err = r.takeShared(c, got.publishes)
		}
		if err == nil {
			c.makeWay()
			r.model.pump(c)
			for _, g := range got.publishes {
				if c.maybe != "" && g.payload == c.maybe {
					c.session.met(g.topic)
				}
			}
			r.model.replay(c)
			err = c.compare(got)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", c.id, err)
		}
		c.want, c.rels, c.acks = nil, nil, nil
	}
	return nil
}

// compare compares what has come with what was to come. Between QoS 0 and the others no order is promised.
func (c *mClient) compare(r received) error {
	if r.ended != nil {
		return fmt.Errorf("the connection has ended: %w", r.ended)
	}
	if !slices.Equal(r.acked, c.acks) {
		return fmt.Errorf("acknowledgements are %v, %v are wanted", r.acked, c.acks)
	}
	if !slices.Equal(r.released, c.rels) {
		return fmt.Errorf("PUBREL comes for %v, for %v is wanted", r.released, c.rels)
	}
	for _, pid := range r.released {
		delete(c.taken, pid)
	}
	for _, zero := range []bool{true, false} {
		got := slices.DeleteFunc(slices.Clone(r.publishes), func(g got) bool { return (g.qos == 0) != zero || zero && c.maybe != "" && g.payload == c.maybe })
		want := slices.DeleteFunc(slices.Clone(c.want), func(w *want) bool { return (w.qos == 0) != zero || c.missed(w, got) })
		for i := range max(len(want), len(got)) {
			switch {
			case i >= len(want):
				return fmt.Errorf("got %+v, which is not wanted", got[i])
			case i >= len(got):
				return fmt.Errorf("did not get %v", want[i])
			}
			if err := c.check(got[i], want[i]); err != nil {
				return fmt.Errorf("got %+v: %w; wanted was %v", got[i], err, want[i])
			}
		}
	}
	return nil
}

// missed tells whether a message that may come has not, which is no longer under way then.
func (c *mClient) missed(w *want, all []got) bool {
	if !w.optional || slices.ContainsFunc(all, func(g got) bool { return g.payload == w.m.payload }) {
		return false
	}
	c.session.flight = slices.DeleteFunc(c.session.flight, func(f *mFlight) bool { return f == w.flight })
	return true
}

// check compares one message.
func (c *mClient) check(g got, w *want) error {
	slices.Sort(g.ids)
	ids := w.ids
	if c.version < packet.V5 {
		ids = nil
	}
	switch {
	case g.topic != w.m.topic || g.payload != w.m.payload:
		return errors.New("it is another message")
	case g.qos != w.qos:
		return errors.New("its QoS is wrong")
	case g.retain != w.retain:
		return errors.New("its RETAIN flag is wrong")
	case g.dup != w.dup && !w.anyDup:
		return errors.New("its DUP flag is wrong")
	case !slices.Equal(g.ids, ids):
		return errors.New("its subscription identifiers are wrong")
	case w.pid != 0 && g.pid != w.pid:
		return errors.New("its packet identifier is not that of before")
	case !c.expiryFits(g, w):
		return errors.New("its expiry is wrong")
	}
	return c.took(g, w.flight)
}

// expiryFits compares seconds, which are rounded up.
func (c *mClient) expiryFits(g got, w *want) bool {
	if c.version < packet.V5 || w.unexpiry {
		return true
	}
	if w.m.expires.IsZero() {
		return g.expiry == 0
	}
	left := w.m.expires.Sub(g.at).Seconds()
	return g.expiry > 0 && float64(g.expiry) < left+2 && float64(g.expiry) > left-0.1
}

// took notes a message of QoS 1 or 2 as its client does, who knows those of QoS 2 by their identifiers.
func (c *mClient) took(g got, f *mFlight) error {
	if g.qos == 0 {
		return nil
	}
	for _, other := range c.session.flight {
		if other != f && !other.unsent && other.pid == g.pid {
			return fmt.Errorf("its packet identifier is that of %q too", other.m.payload)
		}
	}
	f.pid = g.pid
	if g.qos == 2 {
		if before, has := c.taken[g.pid]; has && before != g.payload {
			return fmt.Errorf("the client takes it for %q, which was not released", before)
		}
		c.taken[g.pid] = g.payload
	}
	return nil
}

// TestModelScripts plays what has failed once.
func TestModelScripts(t *testing.T) {
	for name, ops := range map[string][]op{
		"a retained message on its way does not hold up the log": {
			{0, 3, 30, 172, 145},
			{0, 0, 37, 58, 111},
			{0, 2, 36, 28, 217},
			{1, 2, 25, 103, 109},
			{3, 0, 34, 41, 102},
			{6, 3, 116, 226, 9},
		},
		"what was sent before the first marks survives a crash": {
			{0, 1, 66, 202, 154},
			{0, 2, 241, 149, 251},
			{3, 1, 202, 83, 128},
			{5, 2, 242, 65, 30},
			{3, 1, 35, 155, 37},
			{12, 0, 79, 108, 204},
			{0, 1, 117, 126, 71},
		},
		"a will and what a member gives back come at the same time, and there is room for one": {
			{0, 0, 14, 129, 237},
			{0, 1, 175, 188, 251},
			{0, 0, 185, 62, 217},
			{3, 0, 115, 146, 17},
			{3, 1, 83, 179, 207},
			{10, 0, 242, 181, 89},
			{0, 2, 88, 160, 171},
			{0, 0, 185, 208, 85},
			{3, 1, 51, 85, 117},
			{5, 2, 141, 247, 251},
			{3, 1, 223, 55, 191},
			{5, 0, 30, 129, 28},
		},
		"a retained message does not follow what waited in memory": {
			{0, 0, 222, 168, 103},
			{3, 0, 226, 232, 88},
			{0, 2, 22, 146, 152},
			{5, 2, 153, 166, 11},
			{5, 2, 233, 43, 219},
			{0, 2, 7, 250, 67},
			{0, 2, 199, 151, 177},
			{0, 2, 79, 59, 185},
			{3, 0, 254, 33, 133},
			{7, 0, 8, 116, 111},
		},
		"what was sent just before a crash has expired by the time that its client is back": {
			{0, 0, 214, 99, 15},
			{0, 2, 66, 242, 209},
			{3, 0, 64, 94, 19},
			{5, 2, 23, 17, 250},
			{5, 3, 182, 119, 39},
			{5, 1, 78, 68, 175},
			{11, 2, 140, 83, 162},
			{7, 3, 13, 191, 161},
			{12, 0, 200, 170, 178},
			{11, 1, 42, 95, 115},
			{0, 0, 174, 104, 231},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if err := play(t, ops); err != nil {
				t.Errorf("after these steps: %v\n%s", err, script(ops))
			}
		})
	}
}
