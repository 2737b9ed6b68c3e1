package auth

import (
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

func addrNumber(n int) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], uint32(n))
	return netip.AddrFrom4(b)
}

func TestTriesAreBounded(t *testing.T) {
	tr := newTries(time.Now)
	tr.set(2, time.Hour)
	for i := range maxTracked + 500 {
		if err := tr.acquire(t.Context(), addrNumber(i)); err != nil {
			t.Fatal(err)
		}
		tr.settle(addrNumber(i), true)
	}
	if n := tr.tracked(); n != maxTracked {
		t.Errorf("%d addresses are remembered", n)
	}
}

// TestTriesAllInFlight: an address in flight is never given up, so the map may be full of them.
func TestTriesAllInFlight(t *testing.T) {
	tr := newTries(time.Now)
	tr.set(2, time.Hour)
	for i := range maxTracked {
		if err := tr.acquire(t.Context(), addrNumber(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := tr.acquire(t.Context(), addrNumber(maxTracked)); !errors.Is(err, ErrBusy) {
		t.Errorf("one more address: %v", err)
	}
	for i := range maxTracked {
		tr.settle(addrNumber(i), false)
	}
	if n := tr.tracked(); n != 0 {
		t.Errorf("%d addresses are remembered without a failure", n)
	}
}

func TestTriesWaitersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTries(time.Now)
		tr.set(1, time.Hour)
		addr := addrNumber(1)
		if err := tr.acquire(t.Context(), addr); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		results := make(chan error, maxWaiting)
		for range maxWaiting {
			go func() { results <- tr.acquire(ctx, addr) }()
		}
		synctest.Wait()
		if err := tr.acquire(ctx, addr); !errors.Is(err, ErrBusy) {
			t.Errorf("one more than may wait: %v", err)
		}
		cancel()
		for range maxWaiting {
			if err := <-results; !errors.Is(err, ErrBusy) {
				t.Fatal(err)
			}
		}
		tr.settle(addr, false)
		if tr.waiting != 0 || tr.tracked() != 0 {
			t.Errorf("%d wait and %d are remembered", tr.waiting, tr.tracked())
		}
	})
}

// TestTurnIsNotLost: a waiter that gives up at the moment it is called passes its turn on.
func TestTurnIsNotLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTries(time.Now)
		tr.set(1, time.Hour)
		addr := addrNumber(1)
		for round := range 200 {
			if err := tr.acquire(t.Context(), addr); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			quits, stays := make(chan error, 1), make(chan error, 1)
			go func() { quits <- tr.acquire(ctx, addr) }()
			synctest.Wait()
			go func() { stays <- tr.acquire(t.Context(), addr) }()
			synctest.Wait()
			cancel()
			tr.settle(addr, false)
			if err := <-quits; err == nil {
				tr.settle(addr, false)
			}
			if err := <-stays; err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
			tr.settle(addr, false)
		}
	})
}

func TestMeter(t *testing.T) {
	var m meter
	now := time.Unix(1000, 0)
	const every = 10 * time.Second
	for want := range 5 {
		if got := m.used(now, every); got != want {
			t.Errorf("used %d, want %d", got, want)
		}
		m.use(now, every)
	}
	for seconds, want := range map[int]int{0: 5, 1: 5, 10: 4, 11: 4, 49: 1, 50: 0, 500: 0} {
		if got := m.used(now.Add(time.Duration(seconds)*time.Second), every); got != want {
			t.Errorf("after %d s %d are used, want %d", seconds, got, want)
		}
	}
}

func TestBlock(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.7": "192.0.2.7", "::ffff:192.0.2.7": "192.0.2.7",
		"2001:db8:1:2:3:4:5:6": "2001:db8:1:2::", "fe80::1%eth0": "fe80::",
	} {
		if got := block(netip.MustParseAddr(addr)).String(); got != want {
			t.Errorf("%s belongs to %s, want %s", addr, got, want)
		}
	}
	if block(netip.Addr{}).IsValid() {
		t.Error("a Unix socket has an address")
	}
}
