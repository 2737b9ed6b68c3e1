package mqttclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/spate-io/spate/protocol/mqtt/packet"
)

// ErrClosed is what the methods of a client return after Close, Kill or Disconnect.
var ErrClosed = errors.New("this client was closed; dial again")

// A Client is a connected client.
type Client struct {
	conn    *Conn
	version packet.Version
	options Options
	session *Session
	connack *packet.ConnackPacket
	quota   chan struct{} // one for each message in flight
	sending sync.Mutex    // around what is sent
	inbox   chan *Message
	closing chan struct{} // the user wants an end
	close   sync.Once
	done    chan struct{} // the reader has ended
	err     error         // why, once done is closed
	aliases map[uint16]string
	alive   time.Duration // how often it pings
}

// Dial connects and waits for the server's CONNACK. Its error is a *RefusedError if the server says no.
func Dial(ctx context.Context, address string, o Options) (*Client, error) {
	if o.Version == 0 {
		o.Version = packet.V5
	}
	conn, err := Open(ctx, address, o)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	c, err := handshake(ctx, conn, o)
	if !stop() && err == nil { // the connection is closed already
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = conn.Close()
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, fmt.Errorf("connecting to %s: %w", address, err)
	}
	go c.read()
	return c, nil
}

func handshake(ctx context.Context, conn *Conn, o Options) (*Client, error) {
	if err := conn.Send(packet.AppendConnect(nil, o.connect())); err != nil {
		return nil, err
	}
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(dialTimeout)
	}
	f, err := conn.ReadPacket(deadline)
	if err != nil {
		return nil, err
	}
	if f.Type != packet.Connack {
		return nil, fmt.Errorf("the server answers with %s", f.Type)
	}
	ack, err := f.Connack(o.Version)
	if err != nil {
		return nil, err
	}
	if ack.Code.Failed() {
		return nil, &RefusedError{Code: ack.Code, Reason: reasonOf(ack.Properties)}
	}
	return newClient(conn, o, ack)
}

func newClient(conn *Conn, o Options, ack *packet.ConnackPacket) (*Client, error) {
	if o.Session == nil {
		o.Session = &Session{}
	}
	if o.Buffer == 0 {
		o.Buffer = defaultBuffer
	}
	c := &Client{
		conn: conn, version: o.Version, options: o, session: o.Session, connack: ack,
		inbox: make(chan *Message, o.Buffer), closing: make(chan struct{}), done: make(chan struct{}),
		alive: o.KeepAlive.Truncate(time.Second), aliases: map[uint16]string{},
	}
	inflight := maxInflight
	if p := ack.Properties; p != nil {
		if p.Has(packet.ReceiveMaximum) {
			inflight = int(p.ReceiveMaximum)
		}
		if p.Has(packet.ServerKeepAlive) {
			c.alive = time.Duration(p.ServerKeepAlive) * time.Second
		}
		if p.Has(packet.AssignedClientID) {
			c.options.ClientID = p.AssignedClientID
		}
	}
	c.quota = make(chan struct{}, inflight)
	return c, c.resend(o.Session.begin(ack.SessionPresent))
}

// Connack is the server's answer to the CONNECT.
func (c *Client) Connack() *packet.ConnackPacket { return c.connack }

// ID is the client identifier, also if the server has assigned it.
func (c *Client) ID() string { return c.options.ClientID }

// Session is what the next connection goes on with.
func (c *Client) Session() *Session { return c.session }

// Done is closed when the connection has ended, and Err then says why.
func (c *Client) Done() <-chan struct{} { return c.done }

// Err is why the connection has ended, nil while it has not: a *DisconnectedError if the server said so, ErrClosed if it was ended here.
func (c *Client) Err() error {
	select {
	case <-c.done:
		return c.err
	default:
		return nil
	}
}

// Send writes bytes as they are.
func (c *Client) Send(b []byte) error { return c.send(b) }

func (c *Client) send(b []byte) error {
	c.sending.Lock()
	defer c.sending.Unlock()
	return c.conn.Send(b)
}

func (c *Client) sendAck(t packet.Type, id uint16, code packet.Code) error {
	return c.send(packet.AppendAck(nil, c.version, t, id, code, nil))
}

// read is the goroutine of the client.
func (c *Client) read() {
	defer close(c.done)
	defer func() { _ = c.conn.Close() }()
	err := c.loop()
	select {
	case <-c.closing:
		err = ErrClosed
	default:
	}
	if errors.Is(err, io.EOF) {
		err = errors.New("the server closed the connection")
	}
	c.err = err
}

// loop handles packets, and pings when it is time, until the connection ends.
func (c *Client) loop() error {
	var ping time.Time // when to ping next
	last := time.Now() // when a packet came
	if c.alive > 0 {
		ping = last.Add(c.alive)
	}
	for {
		f, err := c.conn.ReadPacket(ping)
		now := time.Now()
		switch {
		case err == nil:
			last = now
			err = c.handle(f)
		case errors.Is(err, os.ErrDeadlineExceeded) && now.Sub(last) < 2*c.alive+pingTimeout:
			err = nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			err = errors.New("the server does not answer pings")
		}
		if err == nil && c.alive > 0 && !now.Before(ping) {
			ping = now.Add(c.alive)
			err = c.send(packet.AppendPingreq(nil))
		}
		if err != nil {
			return err
		}
	}
}

func (c *Client) handle(f packet.Frame) error {
	switch f.Type {
	case packet.Publish:
		return c.received(f)
	case packet.Puback, packet.Pubrec, packet.Pubcomp:
		a, err := f.Ack(c.version)
		if err != nil {
			return err
		}
		return c.acknowledged(a)
	case packet.Pubrel:
		a, err := f.Ack(c.version)
		if err != nil {
			return err
		}
		c.session.release(a.ID)
		return c.sendAck(packet.Pubcomp, a.ID, packet.Success)
	case packet.Suback, packet.Unsuback:
		if len(f.Body) < 2 {
			return errors.New("the server answers a request without its identifier")
		}
		c.session.answered(uint16(f.Body[0])<<8|uint16(f.Body[1]), f)
		return nil
	case packet.Disconnect:
		d, err := f.Disconnect(c.version)
		if err != nil {
			return err
		}
		return &DisconnectedError{Code: d.Code, Reason: reasonOf(d.Properties), Properties: d.Properties}
	case packet.Pingresp:
		return nil
	}
	return fmt.Errorf("the server sent %s", f.Type)
}

// Disconnect says goodbye, so that the server drops the will, and waits until the server has closed the connection.
func (c *Client) Disconnect() error {
	c.close.Do(func() { close(c.closing) })
	err := c.send(packet.AppendDisconnect(nil, c.version, packet.NormalDisconnection, nil))
	if err == nil {
		patience := time.NewTimer(goodbyeTimeout)
		defer patience.Stop()
		select {
		case <-c.done: // closing here, with bytes unread, could make the server lose what was sent
		case <-patience.C:
			err = errors.New("the server does not close the connection after DISCONNECT")
		}
	}
	c.Close()
	return err
}

// Kill ends the connection without a word, as a client that fails.
func (c *Client) Kill() { c.Close() }

// Close ends the connection, whatever its state, and waits for the goroutine that reads. It may be called again.
func (c *Client) Close() {
	c.close.Do(func() { close(c.closing) })
	_ = c.conn.Close()
	<-c.done
}
