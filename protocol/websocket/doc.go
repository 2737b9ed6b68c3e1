// Package websocket is RFC 6455 on the engine, the side of the server: it takes
// the handshake and the frames off a connection and gives what they carry to a
// session, either as a stream of bytes or as whole messages.
//
// # The way of the bytes
//
// A [Conn] is the engine's session of its connection. Payload is unmasked where
// it was read to, headers are closed up, and the session is given what lies
// there; what it does not take stays in the engine's buffer, in front of what
// arrives next. So a message of many fragments is copied once, memory is
// counted and bounded by the engine, and a connection that waits holds neither a
// buffer nor a goroutine.
//
// # Sessions
//
// A [Session] is given the payloads of binary messages as one stream, wherever
// the messages begin and end, as MQTT 5.0, 6, demands; a text message ends its
// connection with code 1003. [Messages] are given each message whole, text and
// binary. What a session writes leaves as one message for each call: binary from
// the former, text from the latter, or what [Conn.Send] says.
//
// # Order, blocking, ownership
//
// As those of the engine: messages are handled one after the other and may
// block; what is written arrives in the order of the calls; data is valid until
// Serve or Message returns; Push waits only with the policy engine.Block. The
// answer to a ping is written like any other, so a client that pings and does
// not read is not read any more either. A session must not write before
// Endpoint.Open has returned.
//
// # Time
//
// Until the session takes something, engine.Limits.FirstTimeout runs; an
// unfinished message, and a request that the session has yet to take whole, have
// engine.Limits.RequestTimeout, whatever fragments arrive. Pings are no requests.
//
// # The end
//
// Every connection that ended for a reason that lets the client read on is sent
// a Close frame: the answer to its own, or a code with a text that says why. The
// engine then shuts its side and waits a moment for the client's. A client that
// breaks the protocol is told with 1002, about text with 1007, about size with
// 1009; each is told as soon as it is seen, also in the middle of a frame.
//
// # Who may connect
//
// Browsers let every page open a WebSocket to everywhere. They name its origin,
// so pages of other origins than the very host that they connect to are refused
// unless they are listed; a client that sends no Origin is no browser. On a
// listener that only this machine can reach, the Host header must be an address,
// localhost, or a listed name, against rebound names.
//
// # Compression
//
// permessage-deflate (RFC 7692) is agreed on only where Endpoint.Open has set
// [Handshake.Compress], which it should for clients that it knows. No
// context is kept, either way; what a message decompresses to is bounded as
// messages are, whatever the ratio.
//
// # Not promised
//
// Messages may be sent in other frames than they came in. Extensions but the one
// above are never agreed on. There is no client.
package websocket
