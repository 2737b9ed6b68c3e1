package websocket

import "github.com/spate-io/spate/engine"

// Write sends p as one message: binary from the session of a stream, and text from one of messages. It is [engine.Conn.Write] otherwise.
func (c *Conn) Write(p []byte) (int, error) {
	if err := c.Send(c.kind(), p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// WriteThrough is Write and Flush in one.
func (c *Conn) WriteThrough(p []byte) (int, error) {
	n, err := c.Write(p)
	c.Flush()
	return n, err
}

// Send is Write for a message of either kind.
func (c *Conn) Send(kind Kind, p []byte) error {
	if c.deflate && len(p) >= minDeflate {
		packer := c.ep.Load().packer
		if k := packer.deflate(p); k != nil {
			defer packer.free(k)
			return c.frame(opcode(kind), true, k.b)
		}
	}
	return c.frame(opcode(kind), false, p)
}

// frame writes one frame.
func (c *Conn) frame(op opcode, compressed bool, payload []byte) error {
	var space [maxHead]byte
	return c.Conn.WriteParts(appendHead(space[:0], op, compressed, len(payload)), payload)
}

// Push sends p as one message, as Write does, and is [engine.Conn.Push] otherwise.
func (c *Conn) Push(p []byte, policy engine.Overflow) error { return c.PushParts(policy, p, nil) }

// PushParts is Push for a message that lies in two pieces. What is pushed is not compressed; see PushDeflated.
func (c *Conn) PushParts(policy engine.Overflow, head, body []byte) error {
	var space [maxHead]byte
	return c.Conn.PushParts(policy, appendHead(space[:0], opcode(c.kind()), false, len(head)+len(body)), head, body)
}

// Compressed tells whether compression was agreed on.
func (c *Conn) Compressed() bool { return c.deflate }

// PushDeflated is PushParts for a body that [Deflate] has compressed, once for all who receive it. The connection must be Compressed. The head, of
// less than 64 KiB, is sent as it is.
func (c *Conn) PushDeflated(policy engine.Overflow, head, body []byte) error {
	var space [maxHead + storedHead]byte
	n := len(head)
	first := appendHead(space[:0], opcode(c.kind()), true, storedHead+n+len(body))
	first = append(first, 0, byte(n), byte(n>>8), byte(^n), byte(^n>>8)) // a stored block, which ends where a byte does (RFC 1951, 3.2.4)
	return c.Conn.PushParts(policy, first, head, body)
}
