package engine

// A Protocol speaks on the connections of a listener. It is shared by all of
// them, so its methods are called from many goroutines at once.
type Protocol interface {
	// Name is the protocol's name in logs, metrics and debug pages: "resp".
	Name() string

	// Open makes the session of a connection that was just accepted, after
	// the TLS handshake where there is one. It runs on the connection's task
	// and may block, write and close.
	Open(c *Conn) Session
}

// A Session is the protocol's state of one connection. The engine never calls
// two of its methods at the same time.
type Session interface {
	// Serve handles the complete requests at the head of in, in order, and
	// returns the number of bytes that they took. What is left is offered
	// again, with more behind it, once more has arrived; a session that wants
	// to avoid parsing a long partial request again keeps its own place.
	//
	// Serve runs on the connection's task and may block as long as it likes.
	// The bytes of in belong to the engine and are valid only until Serve
	// returns. What Serve has written leaves in one piece when it returns, or
	// earlier with [Conn.Flush] and [Conn.WriteThrough].
	//
	// An error closes the connection; wrap it with [Because] to say the
	// reason, which is [ReasonProtocol] otherwise. What was written before is
	// still delivered.
	Serve(c *Conn, in []byte) (n int, err error)

	// Close releases what the session holds. It is called exactly once, after
	// the last Serve, with the reason. The connection no longer accepts
	// writes.
	Close(c *Conn, why error)
}

// A Drainer is a session that wants to say something when the server shuts
// down. Without it, a connection is closed once its last request is answered.
type Drainer interface {
	// Drain is called on the connection's task between two requests. It
	// writes its farewell; the engine closes the connection afterwards.
	Drain(c *Conn)
}

// A Carrier is a session that takes a framing off what arrives, as a WebSocket
// does, and gives what was in it to another session. The engine calls Carry
// instead of Serve.
type Carrier interface {
	Session
	// Carry is Serve for a session that may change in, which lies where it was
	// read to, and move what is left of it together. It returns rest, the part
	// of in that is to be offered again with more behind it, and whether a
	// request was completed: the time that the peer has for one runs on
	// otherwise, however many bytes were taken. While it returns some rest the
	// peer has no more than Limits.RequestTimeout; what turns out to be no
	// request, as a ping that came in pieces, gives it no more time.
	Carry(c *Conn, in []byte) (rest []byte, finished bool, err error)
}

// A Fareweller is a session whose protocol has a last message.
type Fareweller interface {
	// Farewell returns what is to be sent last, or nothing. It is called on the
	// connection's task before Close, whoever ended the connection, unless the
	// peer is gone or is not to be waited for; why is what Close is given.
	Farewell(c *Conn, why *CloseError) []byte
}

// A Describer is a session that has something to add to the list of
// connections that the admin door shows.
type Describer interface {
	// Describe returns the user, if one is known, and a short text such as
	// the client's name. It is called from any goroutine and must not block.
	Describe() (user, detail string)
}
