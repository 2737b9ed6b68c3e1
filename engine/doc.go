// Package engine turns sockets into tasks: it accepts connections, reads them
// when they have bytes, runs the session of their protocol, and writes what
// the session says. Protocols are written in straight lines and may block.
//
// # A request is a task, a connection is not
//
// An [Engine] waits on all of its sockets at once. A connection that has bytes
// is given a goroutine, which reads, calls [Session.Serve], writes, and goes on
// to the next connection that has work. So a connection that waits holds no
// goroutine and no buffer, also under TLS once the handshake is done (where
// crypto/tls keeps a buffer of the size of the largest record so far). A
// handler may block as long as it likes: its goroutine is then its own, and
// another takes over the rest.
//
// # Order
//
// Requests of one connection are served one after the other, in the order in
// which they arrived. What is written to a connection, by whichever goroutine,
// arrives in the order in which Write, WriteThrough and Push were called, and
// the bytes of one call are never mixed with another's. Nothing is promised
// about the order between connections.
//
// # Blocking
//
// Serve, Open, Close and Drain of a session may block; they run on the
// connection's task and never two of them at once. [Conn.Write] and
// [Conn.WriteThrough] wait while more than Limits.Buffered bytes wait for the
// peer, for no longer than Limits.WriteTimeout. [Conn.Push] waits only with the
// policy [Block]. All else returns at once.
//
// # Ownership of bytes
//
// The bytes that Serve is given belong to the engine and are valid until Serve
// returns; keep a copy of what is needed longer. The bytes given to Write,
// WriteThrough and Push belong to the caller again when they return.
//
// # Backpressure
//
// A connection for which more than half of Limits.Buffered waits is not read,
// so a peer that does not read its answers cannot send further requests, and
// TCP tells it so. Messages that others push to it meet the [Overflow] policy
// they were pushed with; every message dropped is counted.
//
// # The end of a connection
//
// Every connection ends with a [Reason], which is logged and counted. What was
// written before is delivered first: the engine sends it, shuts its side, and
// reads on until the peer closes or Limits.LingerTimeout has passed, since
// closing a socket with unread bytes makes the peer lose the final message. If
// the reason is that the peer does not read, nothing more is sent. A panic of
// a session ends its connection alone.
//
// Peers decide how often connections end in other than ordinary ways, so the
// lines about it are limited to 10 a second after the first 100; another line
// says how many had none, and the counters miss nothing.
//
// [Engine.Shutdown] lets every connection answer what it has received, calls
// [Drainer.Drain], delivers, and closes.
//
// # Adoption
//
// [Listener.Adopt] takes over a connection that another server has accepted, as
// http.Hijacker gives it, also with TLS in place. From then on it is like any
// other; what that server has read and not used is served first.
//
// # Drivers
//
// [Epoll] is the default on Linux. [Net] works everywhere and behaves the same,
// except that each connection has a goroutine and a 16 KiB buffer; the tests
// of this package run against both.
//
// # What is not promised
//
// Serve may be given any number of requests, and a request in any number of
// pieces. A push is not acknowledged by the peer: bytes that were given to the
// kernel can still be lost with the connection. Deadlines are checked ten times
// a second, so they end up to 200 ms late.
package engine
