// Package client talks to a node over its HTTP API, for the command line.
//
// A [Client] has a server and the credentials for it. Its methods block until the server has answered or the context ends, and may be called from any
// goroutine. An answer that says no is a [Problem], whose text is the sentence that the server wrote (RFC 9457); a server that cannot be reached is
// an error that names it and says what to look at. Nothing but a subscription is tried again.
//
// [Client.Subscribe] keeps a subscription alive: it connects again when the connection ends, with growing pauses, and goes on
// after the last event that was handled. On a stream that is exact: nothing is left out and nothing comes twice. Live, what was published meanwhile is lost,
// and the caller is told. Buffers belong to the callee: what a callback is given may be kept.
package client
