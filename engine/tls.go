package engine

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
)

// tlsSock is a socket under TLS. Between two records it holds no goroutine:
// crypto/tls takes a temporary net.Error from its connection as "nothing for
// now" and carries on with the next bytes.
type tlsSock struct {
	sock sock
	tc   *tls.Conn
	held drainer // nil if writes to the socket wait for room
}

var _ stream = (*tlsSock)(nil)

// handshake puts TLS on the socket if the listener wants it. It blocks the
// connection's task until the peer has answered.
func (c *Conn) handshake() error {
	if c.lst.tls == nil || c.tls != nil { // the latter of an adopted connection
		return nil
	}
	if err := c.beginHandshake(); err != nil {
		return err
	}
	defer func() { <-c.eng.handshakes }()
	wire := c.sock.wire()
	held, _ := wire.(drainer)
	tc := tls.Server(wire, c.lst.tls)
	// A context that can end would cost crypto/tls a goroutine; the deadline
	// ends the handshake by shutting the socket down instead.
	if err := tc.HandshakeContext(context.Background()); err != nil {
		return fmt.Errorf("TLS handshake: %w", err)
	}
	c.sock.afterHandshake()
	c.mu.Lock()
	c.tls = &tlsSock{sock: c.sock, tc: tc, held: held}
	c.hints.clear(hintSecret)
	c.mu.Unlock()
	return nil
}

// beginHandshake waits for the client's first byte and then for a place among
// the handshakes, both within the deadline that runs since the connection was
// accepted.
func (c *Conn) beginHandshake() error {
	if c.unwanted() {
		return ErrClosed
	}
	if err := c.sock.awaitFirst(); err != nil {
		return fmt.Errorf("TLS handshake: %w", err)
	}
	select {
	case c.eng.handshakes <- struct{}{}:
		return nil
	default:
	}
	select {
	case c.eng.handshakes <- struct{}{}:
		return nil
	case <-c.Context().Done():
		return ErrClosed
	}
}

// unwanted tells whether a handshake is not worth going on with: a peer that
// has yet to ask for something does not hold up a shutdown.
func (c *Conn) unwanted() bool { return c.Closing() || c.eng.stopping.Load() }

func (s *tlsSock) read(p []byte) (int, error) {
	n, err := s.tc.Read(p)
	if err == nil || err == io.EOF {
		return n, err
	}
	if _, ok := err.(wouldBlock); ok { // errors.As would cost garbage for every request
		return n, errAgain
	}
	var ne net.Error
	if errors.As(err, &ne) && ne.Timeout() {
		return n, errAgain
	}
	return n, err
}

// ofTLS tells whether an error of reading is about what the peer sent, and not
// about the socket.
func ofTLS(err error) bool {
	_, socket := errors.AsType[syscall.Errno](err)
	return !socket && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, net.ErrClosed)
}

// drainer is a wire that may hold encrypted bytes back.
type drainer interface{ drain() error }

func (s *tlsSock) write(p []byte) (int, error) {
	sent := 0
	for {
		if s.held != nil {
			if err := s.held.drain(); err != nil {
				return sent, err
			}
		}
		if sent == len(p) {
			return sent, nil
		}
		// A record at a time: what has been encrypted cannot be taken back,
		// so no more of it than one record should have to wait.
		n, err := s.tc.Write(p[sent:min(len(p), sent+maxRecord)])
		sent += n
		if err != nil {
			return sent, err
		}
	}
}

// maxRecord is the most that one TLS record is given to carry: what RFC 8446,
// section 5.1, allows, less what makes a record that is held fit a buffer.
const maxRecord = 16<<10 - 256

// errCrowded ends a connection whose record cannot be held.
var errCrowded = errors.New("there is no memory for what TLS has encrypted")

// errHeld ends a connection whose peer makes TLS answer, as each key update
// does, and does not read the answers.
var errHeld = errors.New("the peer does not read what TLS sends")

func (s *tlsSock) closeWrite() error {
	_ = s.tc.CloseWrite() // close_notify; fails only when the peer is gone
	if s.held != nil {
		if err := s.held.drain(); err != nil {
			return err
		}
	}
	return s.sock.closeWrite()
}

// wouldBlock is what a wire returns when it has nothing for now.
type wouldBlock struct{}

func (wouldBlock) Error() string   { return "would block" }
func (wouldBlock) Timeout() bool   { return true }
func (wouldBlock) Temporary() bool { return true }
func (wouldBlock) Unwrap() error   { return os.ErrDeadlineExceeded }
