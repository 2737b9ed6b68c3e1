package engine

// Engine returns the engine that the connection belongs to.
func (c *Conn) Engine() *Engine { return c.eng }

// Session returns the connection's session, or nil before [Protocol].Open has
// returned. It is for protocols that list or address their own connections;
// what they read there from another goroutine, they must guard.
func (c *Conn) Session() Session {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sess
}

// Limits returns the limits that the engine enforces, with every default
// filled in.
func (e *Engine) Limits() Limits { return e.limits }

// MessageLimit returns Limits.Message, for sessions that ask for each request.
func (e *Engine) MessageLimit() int { return e.limits.Message }
