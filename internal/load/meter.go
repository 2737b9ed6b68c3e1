package load

import (
	"fmt"
	"sync"
	"time"
)

// A meter collects what a run measures. Times are durations since its start.
type meter struct {
	o     *Options
	begin time.Time
	from  time.Duration // measuring begins
	to    time.Duration // and ends

	mu         sync.Mutex
	r          Result
	measuring  bool
	ended      bool
	answered   bool          // anything at all, the warm-up included
	cpu        time.Duration // the server's, when measuring began
	cpuErr     error
	nextReport time.Duration
}

func newMeter(o *Options) *meter {
	return &meter{o: o, begin: time.Now(), from: o.Warmup, to: o.Warmup + o.Duration, nextReport: o.progressEvery}
}

func (m *meter) now() time.Duration { return time.Since(m.begin) }

// due returns when request number i of an open-loop run is due.
func (m *meter) due(i uint64) time.Duration {
	return time.Duration(float64(i) / m.o.Rate * float64(time.Second))
}

// tick is called often, with the lock where there is one: it begins and ends
// the measuring and reports progress. It returns false when the run is over.
func (m *meter) tick(now time.Duration) bool {
	switch {
	case m.ended:
		return false
	case !m.measuring && now >= m.from:
		m.measuring = true
		m.from = now
		m.to = now + m.o.Duration
		m.nextReport = now + m.o.progressEvery
		m.readCPU(&m.cpu)
	case m.measuring && now >= m.to:
		m.end(now)
		return false
	}
	if now >= m.nextReport {
		m.nextReport += m.o.progressEvery
		p := Progress{Measuring: m.measuring, Elapsed: now, Requests: m.r.Requests, Errors: m.r.Errors}
		if m.measuring {
			p.Elapsed = now - m.from
		}
		m.o.Progress(p)
	}
	return true
}

// end closes the books.
func (m *meter) end(now time.Duration) {
	m.ended = true
	if !m.measuring {
		return
	}
	var cpu time.Duration
	m.readCPU(&cpu)
	m.r.CPU = cpu - m.cpu
	m.to = now
	m.r.Elapsed = now - m.from
}

func (m *meter) readCPU(to *time.Duration) {
	if m.o.PID == 0 {
		return
	}
	cpu, err := CPUTime(m.o.PID)
	if err != nil {
		m.cpuErr = err
	}
	*to = cpu
}

// reply records a reply. An open-loop request counts if it was due while
// measuring, a closed-loop one if it was answered then.
func (m *meter) reply(class Class, start, now time.Duration) {
	m.answered = true
	if m.ended {
		m.unanswered(request{start: start, class: class}) // it was under way when the books were closed
		return
	}
	if !m.measuring || m.o.Rate > 0 && start < m.from {
		return
	}
	m.r.Requests++
	m.r.Latency[class].Record(now - start)
}

// sent notes that a request which was due left now, although a connection had
// been free for it since free.
func (m *meter) sent(due, free, now time.Duration) {
	if m.measuring && now-max(due, free) > time.Millisecond {
		m.r.Late++
	}
}

// unanswered records a request that was due and has not been answered.
func (m *meter) unanswered(r request) {
	if !m.measuring || r.start >= m.to || m.o.Rate > 0 && r.start < m.from {
		return
	}
	waited := m.to - r.start
	m.r.Unanswered++
	m.r.Oldest = max(m.r.Oldest, waited)
	if m.o.Rate > 0 {
		m.r.Latency[r.class].Record(waited)
	} else {
		m.r.Latency[r.class].Extend(waited)
	}
}

// broken is the error of a run that has no connection left.
func (m *meter) broken() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.answered {
		return fmt.Errorf("making requests: %w %w: %w", errAllBroken, ErrBeforeReply, m.r.FirstError)
	}
	return fmt.Errorf("making requests: %w: %w", errAllBroken, m.r.FirstError)
}

// neverSent records the requests from number i on that were due before the
// end.
func (m *meter) neverSent(i uint64) {
	for ; m.due(i) < m.to; i++ {
		m.unanswered(request{start: m.due(i)})
	}
}

func (m *meter) fail(conn int, err error) {
	if m.ended {
		return
	}
	m.r.Errors++
	if m.r.FirstError == nil {
		m.r.FirstError = fmt.Errorf("connection %d: %w", conn, err)
	}
}

// result returns what was measured.
func (m *meter) result() (*Result, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cpuErr != nil {
		return &m.r, fmt.Errorf("measuring the server's CPU time: %w", m.cpuErr)
	}
	return &m.r, nil
}
