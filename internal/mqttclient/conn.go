package mqttclient

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"time"

	"github.com/spate-io/spate/protocol/mqtt/packet"
)

// A Conn is a connection whose packets are sent and read one by one. One goroutine may read while others send.
type Conn struct {
	net   net.Conn
	buf   []byte // what has been read and is not a packet yet
	spare []byte
}

// Open makes a connection and sends nothing on it. The address is a URL: mqtt://HOST:PORT, mqtts://HOST:PORT or mqtt+unix:///PATH; other
// schemes need Options.Dial. Of the options, only those about the transport are used.
func Open(ctx context.Context, address string, o Options) (*Conn, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", address, err)
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	c, err := o.dial(ctx, u)
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", address, err)
	}
	return NewConn(c), nil
}

// NewConn speaks MQTT on a connection that exists. It belongs to the Conn from now on.
func NewConn(c net.Conn) *Conn { return &Conn{net: c} }

func (o *Options) dial(ctx context.Context, u *url.URL) (net.Conn, error) {
	if o.Dial != nil {
		return o.Dial(ctx, u)
	}
	var d net.Dialer
	switch u.Scheme {
	case "mqtt":
		return d.DialContext(ctx, "tcp", u.Host)
	case "mqtts":
		return (&tls.Dialer{NetDialer: &d, Config: o.TLS}).DialContext(ctx, "tcp", u.Host)
	case "mqtt+unix":
		return d.DialContext(ctx, "unix", u.Path)
	}
	return nil, fmt.Errorf("the scheme %q is not known here; it is mqtt, mqtts or mqtt+unix", u.Scheme)
}

// Send writes bytes as they are.
func (c *Conn) Send(b []byte) error {
	if err := c.net.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	_, err := c.net.Write(b)
	return err
}

// ReadPacket returns the next packet, whose body belongs to the caller. It gives up at the deadline, if that is not zero, with an
// error that is os.ErrDeadlineExceeded; the next call goes on where it was. The error is io.EOF when the server has closed the connection after a whole packet.
func (c *Conn) ReadPacket(deadline time.Time) (packet.Frame, error) {
	if err := c.net.SetReadDeadline(deadline); err != nil {
		return packet.Frame{}, err
	}
	if c.spare == nil {
		c.spare = make([]byte, readSize)
	}
	for {
		f, n, err := packet.Split(c.buf, maxPacket)
		if err != nil {
			return packet.Frame{}, fmt.Errorf("reading a packet of the server: %w", err)
		}
		if n > 0 {
			f.Body = append([]byte(nil), f.Body...)
			c.buf = append(c.buf[:0], c.buf[n:]...)
			return f, nil
		}
		n, err = c.net.Read(c.spare)
		c.buf = append(c.buf, c.spare[:n]...)
		if n > 0 || err == nil {
			continue
		}
		if errors.Is(err, io.EOF) && len(c.buf) > 0 {
			err = io.ErrUnexpectedEOF
		}
		return packet.Frame{}, err
	}
}

// CloseWrite says that nothing more will be sent, and leaves the other direction open, where the transport can.
func (c *Conn) CloseWrite() error {
	if half, ok := c.net.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return c.net.Close()
}

// Close ends the connection without a word.
func (c *Conn) Close() error { return c.net.Close() }

// LocalAddr is this end of the connection.
func (c *Conn) LocalAddr() net.Addr { return c.net.LocalAddr() }
