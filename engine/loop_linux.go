package engine

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"syscall"
)

// A loop is an epoll instance, a queue of jobs, and the workers that take from
// it. Any worker polls the sockets when it finds the queue empty, and one that
// finds another polling ends: there are as many as handlers are blocked, and
// about two more.
//
// A job may block, so before a worker runs one it makes sure that another
// worker is free to go on with the queue and the sockets, and starts one if
// not. While nothing blocks that costs one goroutine switch for a batch of
// events instead of one for each connection.
type loop struct {
	eng     *Engine
	epfd    int
	file    *os.File // epfd registered with Go's own poller, to park on
	raw     syscall.RawConn
	scratch scratchPool
	running sync.WaitGroup

	mu        sync.Mutex
	jobs      jobQueue
	free      int  // workers that will look at the queue without waiting for a socket
	polling   bool // a worker is in poll
	sincePoll int
	closed    bool
	total     int // workers

	// Used by the worker that polls.
	events [eventsPerPoll]syscall.EpollEvent
	n      int
	tags   []uint64
	conns  []*Conn
	ready  []*epollConn
	wait   func(fd uintptr) bool
	worker func()
}

type jobKind uint8

const (
	jobTurn jobKind = iota
	jobFlush
)

type job struct {
	c    *epollConn
	kind jobKind
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
	l.wait = func(uintptr) bool {
		l.n = epollWait(l.epfd, l.events[:])
		return l.n != 0
	}
	l.worker = l.work
	l.mu.Lock()
	l.spawnLocked()
	l.mu.Unlock()
	return l, nil
}

// register has the kernel report fd, once for each change (edge-triggered):
// there is no system call to arm it again.
func (l *loop) register(fd int, tag uint64) error {
	const edge = 1 << 31 // syscall.EPOLLET is negative
	ev := syscall.EpollEvent{
		Events: syscall.EPOLLIN | syscall.EPOLLOUT | syscall.EPOLLRDHUP | edge,
		Fd:     int32(uint32(tag)), Pad: int32(uint32(tag >> 32)),
	}
	if err := syscall.EpollCtl(l.epfd, syscall.EPOLL_CTL_ADD, fd, &ev); err != nil {
		return fmt.Errorf("registering a connection with epoll: %w", err)
	}
	return nil
}

// push queues a job and makes sure that a worker comes for it.
func (l *loop) push(j job) {
	l.mu.Lock()
	l.jobs.push(j)
	if l.free == 0 {
		l.spawnLocked()
	}
	l.mu.Unlock()
}

func (l *loop) spawnLocked() {
	l.free++
	l.total++
	l.running.Add(1)
	go l.worker() // a func value that exists already: no garbage
}

// work is a worker.
func (l *loop) work() {
	defer l.running.Done()
	scratch := l.scratch.get()
	defer l.scratch.put(scratch)
	l.mu.Lock()
	defer l.mu.Unlock()
	yielded := false
	for {
		switch {
		case l.jobs.len() > 0 && (l.sincePoll < jobsPerPoll || l.polling):
			l.runLocked(scratch)
			yielded = false
		case l.jobs.len() > 0:
			l.pollLocked(false)
		case !yielded:
			// Handlers that were woken, and timers, come before more work.
			l.mu.Unlock()
			runtime.Gosched()
			l.mu.Lock()
			yielded = true
		case l.polling || l.closed:
			l.free--
			l.total--
			return
		default:
			l.pollLocked(true)
			yielded = false
		}
	}
}

// runLocked runs the first job, with the lock released.
func (l *loop) runLocked(scratch *[scratchSize]byte) {
	j := l.jobs.pop()
	l.sincePoll++
	l.free--
	if l.free == 0 && !l.polling {
		l.spawnLocked()
	}
	l.mu.Unlock()
	again := false
	switch j.kind {
	case jobTurn:
		again = j.c.runTurn(scratch[:])
	case jobFlush:
		j.c.flushJob()
	}
	l.mu.Lock()
	l.free++
	if again {
		l.jobs.push(j)
	}
}

// pollLocked takes events from the kernel and queues their connections. With
// park it waits until there are some; it is then not counted as free, so that
// a job that is pushed meanwhile gets a worker of its own.
func (l *loop) pollLocked(park bool) {
	l.polling = true
	l.sincePoll = 0
	l.mu.Unlock()
	l.n = epollWait(l.epfd, l.events[:])
	if l.n == 0 && park {
		l.mu.Lock()
		if l.jobs.len() == 0 && !l.closed {
			l.free--
			l.mu.Unlock()
			err := l.raw.Read(l.wait)
			l.mu.Lock()
			l.free++
			if err != nil {
				l.n = 0 // closed
			}
		}
		l.mu.Unlock()
	}
	l.collect()
	l.mu.Lock()
	l.polling = false
	for i, c := range l.ready {
		l.jobs.push(job{c, jobTurn})
		l.ready[i] = nil
	}
	l.ready = l.ready[:0]
}

// collect tells the connections what happened to their sockets, and gathers in
// ready those that need a worker.
func (l *loop) collect() {
	if l.n == 0 {
		return
	}
	l.tags = l.tags[:0]
	for i := range l.n {
		ev := &l.events[i]
		l.tags = append(l.tags, uint64(uint32(ev.Pad))<<32|uint64(uint32(ev.Fd)))
	}
	l.conns = l.eng.table.find(l.conns[:0], l.tags)
	for i, c := range l.conns {
		l.conns[i] = nil
		if c == nil {
			continue // closed since the kernel queued the event
		}
		if c.ready(l.events[i].Events) {
			l.ready = append(l.ready, c.sock.(*epollConn))
		}
	}
}

func (l *loop) workers() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.total
}

// stop ends the workers. All connections are closed.
func (l *loop) stop() error {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	err := l.file.Close()
	l.running.Wait()
	return err
}

// jobQueue is a first-in first-out queue on a ring, which grows as needed: it
// holds at most two jobs for each connection.
type jobQueue struct {
	ring []job
	head int
	n    int
}

func (q *jobQueue) len() int { return q.n }

func (q *jobQueue) push(j job) {
	if q.n == len(q.ring) {
		bigger := make([]job, max(64, 2*len(q.ring)))
		for i := range q.n {
			bigger[i] = q.ring[(q.head+i)%len(q.ring)]
		}
		q.ring, q.head = bigger, 0
	}
	q.ring[(q.head+q.n)&(len(q.ring)-1)] = j
	q.n++
}

func (q *jobQueue) pop() job {
	j := q.ring[q.head]
	q.ring[q.head] = job{}
	q.head = (q.head + 1) & (len(q.ring) - 1)
	q.n--
	return j
}
