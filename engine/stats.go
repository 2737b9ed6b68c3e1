package engine

import "sync/atomic"

// counters are the engine's totals since its start.
type counters struct {
	accepted   atomic.Uint64
	closed     [reasonCount]atomic.Uint64
	acceptFail atomic.Uint64
	panics     atomic.Uint64
	dropped    atomic.Uint64
}

// Stats are the engine's totals since its start, and its state now.
type Stats struct {
	Accepted     uint64            // connections admitted
	Closed       map[Reason]uint64 // connections ended or refused, by reason; zero entries are left out
	AcceptErrors uint64            // failures of accept, such as running out of descriptors
	Panics       uint64            // handlers that panicked
	Dropped      uint64            // messages that overflow policies dropped
	BytesIn      uint64            // bytes read from peers (after decryption)
	BytesOut     uint64            // bytes written to peers (before encryption)
	Connections  int               // connections now
	Buffered     int64             // bytes held now for partial requests and waiting output
	Handshakes   int               // TLS handshakes under way now
	Workers      int               // goroutines that serve connections now (epoll driver)
}

// Stats returns the engine's counters.
func (e *Engine) Stats() Stats {
	s := Stats{
		Accepted:     e.stats.accepted.Load(),
		Closed:       make(map[Reason]uint64),
		AcceptErrors: e.stats.acceptFail.Load(),
		Panics:       e.stats.panics.Load(),
		Dropped:      e.stats.dropped.Load(),
		Buffered:     e.buffered.Load(),
		Handshakes:   len(e.handshakes),
		Connections:  e.table.size(),
	}
	s.BytesIn, s.BytesOut = e.table.bytes()
	for r := range reasonCount {
		if n := e.stats.closed[r].Load(); n > 0 {
			s.Closed[r] = n
		}
	}
	for _, d := range e.driverList() {
		s.Workers += d.workers()
	}
	return s
}

// Connections calls yield with every open connection until it returns false.
// It works on a copy: connections may open and close meanwhile.
func (e *Engine) Connections(yield func(*Conn) bool) {
	for _, c := range e.table.all() {
		if !yield(c) {
			return
		}
	}
}
