package engine

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"syscall"
)

// A loop is an epoll instance, three queues of jobs, and the workers that take
// from them. Any worker polls the sockets when it finds no job, and one that
// finds another waiting for them ends: there are as many workers as handlers
// are blocked, and about two more.
//
// A job may block, so before a worker runs one it makes sure that another is
// free to go on with the queues and the sockets, and starts one if not. While
// nothing blocks that costs one goroutine switch for a batch of events instead
// of one for each connection.
//
// Requests come before output that others have pushed, and the sockets are
// looked at again after flushesPerPoll of the latter. So a publisher is served
// while its last fan-out to thousands is still leaving, and what it publishes
// meanwhile leaves in the same writes. Connections whose peers have gone come
// last, endsPerPoll at a time: nobody waits for them, and ten thousand may go at
// once.
type loop struct {
	eng     *Engine
	epfd    int
	file    *os.File // epfd registered with Go's own poller, to park on
	raw     syscall.RawConn
	scratch scratchPool
	running sync.WaitGroup
	worker  func() // work, as a value that exists already: starting it costs no garbage

	mu      sync.Mutex
	turns   jobQueue // connections with something to read, serve or close
	flushes jobQueue // connections with output that was pushed to them
	ends    jobQueue // connections whose peers have gone
	turned  int      // jobs taken from each since the last poll
	flushed int
	ended   int
	more    bool // the last poll did not see all events that there were
	free    int  // workers that will look at the queues without waiting for a socket
	polling bool // a worker uses busy
	parked  bool // a worker uses idle, and waits for a socket
	closed  bool
	total   int // workers

	busy, idle poll
}

func newLoop(e *Engine) (*loop, error) {
	epfd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("creating an epoll instance: %w", err)
	}
	// A blocking epoll_wait would keep its P until the scheduler notices, up
	// to 10 ms. Go's own poller can wait for a non-blocking epoll descriptor
	// as for any other.
	if err := syscall.SetNonblock(epfd, true); err != nil {
		return nil, fmt.Errorf("preparing the epoll instance: %w", err)
	}
	l := &loop{eng: e, epfd: epfd, file: os.NewFile(uintptr(epfd), "epoll")}
	if l.raw, err = l.file.SyscallConn(); err != nil {
		return nil, fmt.Errorf("parking on the epoll instance: %w", err)
	}
	l.idle.try = func(uintptr) bool { return l.idle.wait(l.epfd) }
	l.worker = l.work
	l.mu.Lock()
	l.wakeLocked()
	l.mu.Unlock()
	return l, nil
}

// register has the kernel report fd, once for each change (edge-triggered):
// there is no system call to arm it again.
func (l *loop) register(fd int, tag uint64) error {
	const edge = 1 << 31 // syscall.EPOLLET is negative
	ev := syscall.EpollEvent{
		Events: syscall.EPOLLIN | syscall.EPOLLOUT | syscall.EPOLLRDHUP | syscall.EPOLLPRI | edge,
		Fd:     int32(uint32(tag)), Pad: int32(uint32(tag >> 32)),
	}
	if err := syscall.EpollCtl(l.epfd, syscall.EPOLL_CTL_ADD, fd, &ev); err != nil {
		return fmt.Errorf("registering a connection with epoll: %w", err)
	}
	return nil
}

// pushTurn has a worker run a turn of c.
func (l *loop) pushTurn(c *epollConn) {
	l.mu.Lock()
	l.turns.push(c)
	l.wakeLocked()
	l.mu.Unlock()
}

// pushFlush has a worker send what waits for c.
func (l *loop) pushFlush(c *epollConn) {
	l.mu.Lock()
	l.flushes.push(c)
	l.wakeLocked()
	l.mu.Unlock()
}

// wakeLocked makes sure that a worker comes for the jobs.
func (l *loop) wakeLocked() {
	if l.free > 0 {
		return
	}
	l.free++
	l.total++
	l.running.Add(1)
	go l.worker()
}

// work is a worker.
func (l *loop) work() {
	defer l.running.Done()
	scratch := l.scratch.get()
	defer l.scratch.put(scratch)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.total > manyWorkers {
		l.yieldLocked()
	}
	yielded := false
	for {
		switch {
		case l.runLocked(scratch):
			yielded = false
		case l.parked || l.free > 1:
			l.leaveLocked() // its handler has blocked, and another has its place
			return
		case !yielded:
			// Handlers that were woken, and timers, come before more work.
			l.yieldLocked()
			yielded = true
		case !l.closed && !l.polling && l.pollLocked():
			yielded = false
		case l.closed:
			l.leaveLocked()
			return
		default:
			l.parkLocked()
			yielded = false
		}
	}
}

// yieldLocked lets other goroutines run.
func (l *loop) yieldLocked() {
	l.mu.Unlock()
	runtime.Gosched()
	l.mu.Lock()
}

// leaveLocked is the end of a worker. The last one closes the epoll instance:
// its number may be another's from then on, and nobody must poll it any more.
func (l *loop) leaveLocked() {
	l.free--
	l.total--
	if l.total > 0 || !l.closed {
		return
	}
	if err := l.file.Close(); err != nil {
		l.eng.log.Debug("closing an epoll instance", "error", err)
	}
}

// nextLocked takes the next job: turns first, then flushes, then ends, but no kind without end.
// When each that there are has had its share, it is time to look at the sockets again.
func (l *loop) nextLocked() (c *epollConn, flush bool) {
	turn := l.turns.n > 0 && l.turned < turnsPerPoll
	flush = l.flushes.n > 0 && l.flushed < flushesPerPoll
	end := l.ends.n > 0 && (l.ended == 0 || l.ended < endsPerPoll && !l.more)
	if !turn && !flush && !end {
		if l.jobsLocked() > 0 && !l.polling {
			l.pollLocked()
		}
		turn, flush, end = l.turns.n > 0, l.flushes.n > 0, l.ends.n > 0
	}
	switch {
	case turn:
		l.turned++
		return l.turns.pop(), false
	case flush:
		l.flushed++
		return l.flushes.pop(), true
	case end:
		l.ended++
		return l.ends.pop(), false
	}
	return nil, false
}

func (l *loop) jobsLocked() int { return l.turns.n + l.flushes.n + l.ends.n }

// runLocked runs the next job, with the lock released. It returns false if
// there is none.
func (l *loop) runLocked(scratch *[scratchSize]byte) bool {
	c, flush := l.nextLocked()
	if c == nil {
		return false
	}
	l.free--
	if !l.parked || l.jobsLocked() > 0 {
		l.wakeLocked()
	}
	l.mu.Unlock()
	again := false
	if flush {
		c.flushJob()
	} else {
		again = l.turn(c, scratch)
	}
	l.mu.Lock()
	l.free++
	if again {
		l.turns.push(c)
	}
	return true
}

// turn runs a turn of c. A session that calls runtime.Goexit ends the worker: another takes its place, and goes on to close the connection.
func (l *loop) turn(c *epollConn, scratch *[scratchSize]byte) (again bool) {
	returned := false
	defer func() {
		if !returned {
			l.mu.Lock() // which work releases
			l.turns.push(c)
			l.wakeLocked()
			l.total--
		}
	}()
	again = c.runTurn(scratch[:])
	returned = true
	return again
}

// pollLocked takes what events there are from the kernel and queues their
// connections. It tells whether there are jobs then: others may have queued
// some too, while the lock was released.
func (l *loop) pollLocked() bool {
	l.polling = true
	l.turned, l.flushed, l.ended = 0, 0, 0
	l.mu.Unlock()
	l.busy.wait(l.epfd)
	l.busy.collect(&l.eng.table)
	l.mu.Lock()
	l.polling = false
	l.queueLocked(&l.busy)
	return l.jobsLocked() > 0
}

// parkLocked waits until there are events and queues their connections. The
// worker is not counted as free meanwhile, so that a job that is pushed gets
// another.
func (l *loop) parkLocked() {
	l.parked = true
	l.free--
	l.mu.Unlock()
	if err := l.raw.Read(l.idle.try); err != nil {
		l.idle.n = 0 // the loop is closed
	}
	l.idle.collect(&l.eng.table)
	l.mu.Lock()
	l.free++
	l.parked = false
	l.queueLocked(&l.idle)
}

func (l *loop) queueLocked(p *poll) {
	p.ready = l.turns.pushAll(p.ready)
	p.gone = l.ends.pushAll(p.gone)
	l.more = p.n == eventsPerPoll
}

// A poll is the events of one look at the sockets.
type poll struct {
	events [eventsPerPoll]syscall.EpollEvent
	n      int
	tags   []uint64
	conns  []*Conn
	ready  []*epollConn          // those that need a worker
	gone   []*epollConn          // those that need one to be closed
	try    func(fd uintptr) bool // for Go's poller; only to park
}

// wait takes the events that there are, without waiting for any, and tells
// whether there were some.
func (p *poll) wait(epfd int) bool {
	p.n = epollWait(epfd, p.events[:])
	return p.n != 0
}

// collect tells the connections what happened to their sockets, and gathers
// those that need a worker.
func (p *poll) collect(t *table) {
	if p.n == 0 {
		return
	}
	p.tags = p.tags[:0]
	for i := range p.n {
		ev := &p.events[i]
		p.tags = append(p.tags, uint64(uint32(ev.Pad))<<32|uint64(uint32(ev.Fd)))
	}
	p.conns = t.find(p.conns[:0], p.tags)
	for i, c := range p.conns {
		p.conns[i] = nil
		what := p.events[i].Events
		switch {
		case c == nil || !c.ready(what): // nil: closed since the kernel queued the event
		case what&(syscall.EPOLLHUP|syscall.EPOLLERR) != 0: // who has only shut its side may have sent something before, and wait for the answer
			p.gone = append(p.gone, c.sock.(*epollConn))
		default:
			p.ready = append(p.ready, c.sock.(*epollConn))
		}
	}
}

func (l *loop) workers() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.total
}

// stop has the workers end, and waits for them if no handler is stuck.
func (l *loop) stop(wait bool) error {
	l.mu.Lock()
	l.closed = true
	err := l.file.SetReadDeadline(longAgo()) // who is parked wakes up; under the lock, since the last worker that sees closed closes the file
	l.mu.Unlock()
	if wait {
		l.running.Wait()
	}
	return err
}

// jobQueue is a first-in first-out queue on a ring, which grows as needed: a
// connection is in each at most once.
type jobQueue struct {
	ring []*epollConn
	head int
	n    int
}

func (q *jobQueue) push(c *epollConn) {
	if q.n == len(q.ring) {
		bigger := make([]*epollConn, max(64, 2*len(q.ring)))
		k := copy(bigger, q.ring[q.head:])
		copy(bigger[k:], q.ring[:q.head])
		q.ring, q.head = bigger, 0
	}
	q.ring[(q.head+q.n)&(len(q.ring)-1)] = c
	q.n++
}

// pushAll pushes some, and returns their slice, emptied.
func (q *jobQueue) pushAll(some []*epollConn) []*epollConn {
	for _, c := range some {
		q.push(c)
	}
	clear(some)
	return some[:0]
}

func (q *jobQueue) pop() *epollConn {
	c := q.ring[q.head]
	q.ring[q.head] = nil
	q.head = (q.head + 1) & (len(q.ring) - 1)
	q.n--
	return c
}
