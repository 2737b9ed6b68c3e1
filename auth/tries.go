package auth

import (
	"context"
	"net/netip"
	"sync"
	"time"
)

// meter counts what an address has used up. It is full again at the time it
// holds, one unit per period (the generic cell rate algorithm: one word for both
// a count and its refill).
type meter struct{ full time.Time }

// used returns how many units are used up, at most one too many.
func (m meter) used(now time.Time, every time.Duration) int {
	left := m.full.Sub(now)
	if left <= 0 {
		return 0
	}
	return int((left + every - 1) / every)
}

func (m *meter) use(now time.Time, every time.Duration) {
	if m.full.Before(now) {
		m.full = now
	}
	m.full = m.full.Add(every)
}

// tries limits failed logins per address. A try in flight counts as failed until
// it has succeeded, so that parallel guesses are no cheaper than serial ones; tries
// that find the rest taken by others in flight wait, so that a thousand clients
// behind one address that all know their password get in, one after another.
type tries struct {
	now func() time.Time

	mu      sync.Mutex
	burst   int
	every   time.Duration
	addrs   map[netip.Addr]*tracked
	waiting int
}

type tracked struct {
	failed   meter
	inFlight int
	waiters  []chan struct{}
}

func newTries(now func() time.Time) *tries {
	return &tries{now: now, addrs: make(map[netip.Addr]*tracked)}
}

// set applies a configuration; what has failed so far stays.
func (t *tries) set(burst int, every time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.burst, t.every = burst, every
}

// block is what one customer usually holds: an IPv4 address or an IPv6 /64.
func block(addr netip.Addr) netip.Addr {
	addr = addr.Unmap().WithZone("")
	if addr.Is6() {
		prefix, _ := addr.Prefix(64) // 64 fits every IPv6 address
		return prefix.Addr()
	}
	return addr
}

// acquire waits until the address may try; settle must follow.
func (t *tries) acquire(ctx context.Context, addr netip.Addr) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for {
		entry := t.entry(addr)
		if entry == nil {
			return ErrBusy
		}
		used := entry.failed.used(t.now(), t.every)
		if used >= t.burst {
			return ErrTooManyTries
		}
		if used+entry.inFlight < t.burst {
			entry.inFlight++
			if used+entry.inFlight < t.burst {
				entry.wake(1) // room was left by time that passed
			}
			return nil
		}
		if err := t.wait(ctx, entry); err != nil {
			return err
		}
	}
}

// wait releases the lock until the entry changes or ctx ends.
func (t *tries) wait(ctx context.Context, entry *tracked) error {
	if t.waiting >= maxWaiting {
		return ErrBusy
	}
	turn := make(chan struct{})
	entry.waiters = append(entry.waiters, turn)
	t.waiting++
	t.mu.Unlock()
	var err error
	select {
	case <-turn:
	case <-ctx.Done():
		err = ErrBusy
	}
	t.mu.Lock()
	t.waiting--
	if err != nil && !entry.forget(turn) {
		entry.wake(1) // it was called at the same moment: the turn goes on
	}
	return err
}

// settle ends a try that acquire admitted.
func (t *tries) settle(addr netip.Addr, failed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	entry := t.addrs[addr]
	now := t.now()
	entry.inFlight--
	if failed {
		entry.failed.use(now, t.every)
	}
	if entry.failed.used(now, t.every) >= t.burst {
		entry.wake(len(entry.waiters))
	} else {
		entry.wake(1)
	}
	if !entry.busy() && !entry.failed.full.After(now) {
		delete(t.addrs, addr)
	}
}

// entry finds or makes the entry of an address. A full map gives up the address
// that is nearest to a clean record, of eight chosen at random: who owns more
// addresses than the map holds gains tries, and nobody else is locked out.
func (t *tries) entry(addr netip.Addr) *tracked {
	if entry, ok := t.addrs[addr]; ok {
		return entry
	}
	if len(t.addrs) >= maxTracked && !t.evict() {
		return nil
	}
	entry := &tracked{}
	t.addrs[addr] = entry
	return entry
}

func (t *tries) evict() bool {
	var victim netip.Addr
	var best *tracked
	seen := 0
	for addr, entry := range t.addrs {
		if !entry.busy() && (best == nil || entry.failed.full.Before(best.failed.full)) {
			victim, best = addr, entry
		}
		if seen++; seen >= 8 {
			break
		}
	}
	if best == nil {
		return false
	}
	delete(t.addrs, victim)
	return true
}

func (t *tries) tracked() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.addrs)
}

func (e *tracked) busy() bool { return e.inFlight > 0 || len(e.waiters) > 0 }

func (e *tracked) wake(n int) {
	n = min(n, len(e.waiters))
	for _, turn := range e.waiters[:n] {
		close(turn)
	}
	e.waiters = e.waiters[n:]
}

// forget removes a waiter and reports whether it was still waiting.
func (e *tracked) forget(turn chan struct{}) bool {
	for i, w := range e.waiters {
		if w == turn {
			e.waiters = append(e.waiters[:i], e.waiters[i+1:]...)
			return true
		}
	}
	return false
}
