package engine

import (
	"crypto/tls"
	"net"
	"net/netip"
)

// A driver moves bytes between sockets and connections, and gives goroutines
// to connections that have work.
type driver interface {
	// accept takes connections from ln and hands them to admit until the
	// listener closes.
	accept(ln *Listener) error
	// take makes a connection of one that another server has accepted, unless
	// it returns an error.
	take(ln *Listener, a *adoption) error
	// wake gives c, which has just got an owner bit, a goroutine that runs
	// its turns.
	wake(c *Conn)
	// scheduleFlush has c.flushJob called soon.
	scheduleFlush(c *Conn)
	// workers returns the number of goroutines that serve connections now.
	workers() int
	// stop ends its goroutines. All connections are closed by then, and it
	// waits; otherwise handlers are stuck, and end what they hold on their way
	// out.
	stop(wait bool) error
}

// An adoption is a connection that another server has accepted.
type adoption struct {
	socket net.Conn
	remote netip.AddrPort
	tls    *tls.Conn // on top of under; nil on plain connections
	under  *Switch
	o      AdoptOptions
}

// stream is what bytes are read from and written to. Only the owner reads, and
// only one goroutine at a time writes.
type stream interface {
	// read returns errAgain when nothing has arrived, io.EOF at the end.
	read(p []byte) (int, error)
	// write writes as much as there is room for, and returns errAgain if it
	// has to be called again, be it with nothing, once there is more room. A
	// driver whose sockets block writes all.
	write(p []byte) (int, error)
	// closeWrite tells the peer that nothing more comes. It returns errAgain
	// if it has to be called again once there is more room.
	closeWrite() error
}

// sock is one connection's socket as its driver drives it.
type sock interface {
	stream
	// shutdown ends both directions; reads and writes that are under way
	// return. The descriptor stays taken until close.
	shutdown()
	// interrupt makes a read that is blocked return errAgain.
	interrupt()
	// blocks tells whether writes wait for room.
	blocks() bool
	// waiting tells whether the owner is blocked in a read, or waits for a
	// signal. Any goroutine may ask.
	waiting() bool
	// unsent returns how many bytes the kernel holds for the peer, or 0 if
	// that cannot be told.
	unsent() int
	// close lets go of the descriptor.
	close() error
	// awaitFirst waits until there is something to read, or the end.
	awaitFirst() error
	// wire returns the socket for crypto/tls. Its reads wait, until
	// afterHandshake makes them return a temporary error when there is
	// nothing.
	wire() net.Conn
	afterHandshake()
}

// Drivers.
const (
	// Epoll waits on all sockets with a few event loops. Linux only, and the
	// default there.
	Epoll = "epoll"
	// Net gives each connection a goroutine and a buffer, as Go's net package
	// would have it. It works everywhere, and with any [net.Listener].
	Net = "net"
)
