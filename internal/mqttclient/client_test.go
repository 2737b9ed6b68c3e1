package mqttclient

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spate-io/spate/protocol/mqtt/packet"
)

const patience = 10 * time.Second

// A script is the server's side of one connection. Its error fails the test.
type script func(s *server) error

// A server is the other end of a connection, which does what the test wrote down.
type server struct {
	*Conn
	v packet.Version
}

// want reads a packet and compares it, byte for byte.
func (s *server) want(b []byte) error {
	f, err := s.next()
	if err != nil {
		return fmt.Errorf("want %x: %w", b, err)
	}
	want, _, err := packet.Split(b, 0)
	if err != nil {
		return err
	}
	if f.Type != want.Type || f.Flags != want.Flags || !bytes.Equal(f.Body, want.Body) {
		return fmt.Errorf("got %s %04b %x, want %s %04b %x", f.Type, f.Flags, f.Body, want.Type, want.Flags, want.Body)
	}
	return nil
}

func (s *server) next() (packet.Frame, error) { return s.ReadPacket(time.Now().Add(patience)) }

// accept reads a CONNECT and answers it.
func (s *server) accept(present bool, p *packet.Properties) error {
	f, err := s.next()
	if err != nil {
		return err
	}
	connect, err := f.Connect()
	if err != nil {
		return err
	}
	s.v = connect.Version
	return s.Send(packet.AppendConnack(nil, s.v, present, packet.Success, p))
}

func (s *server) ack(t packet.Type, id uint16, code packet.Code) error {
	return s.Send(packet.AppendAck(nil, s.v, t, id, code, nil))
}

func (s *server) wantAck(t packet.Type, id uint16, code packet.Code) error {
	return s.want(packet.AppendAck(nil, s.v, t, id, code, nil))
}

func (s *server) publish(m packet.OutPublish) error {
	return s.Send(packet.AppendPublish(nil, s.v, &m))
}

// all runs steps until one fails.
func all(steps ...func() error) error {
	for i, step := range steps {
		if err := step(); err != nil {
			return fmt.Errorf("step %d: %w", i+1, err)
		}
	}
	return nil
}

// listen serves each connection with the next script, and returns its address.
func listen(t *testing.T, scripts ...script) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i, script := range scripts {
			conn, err := l.Accept()
			if err != nil {
				t.Errorf("connection %d never came: %v", i+1, err)
				return
			}
			s := &server{Conn: NewConn(conn), v: packet.V5}
			if err := script(s); err != nil {
				t.Errorf("connection %d: %v", i+1, err)
			}
			_ = s.Close()
		}
	}()
	t.Cleanup(func() {
		<-done
		_ = l.Close()
	})
	return "mqtt://" + l.Addr().String()
}

func dial(t *testing.T, address string, o Options) *Client {
	t.Helper()
	c, err := Dial(t.Context(), address, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestConnect(t *testing.T) {
	for _, v := range []packet.Version{packet.V311, packet.V5} {
		o := Options{
			Version: v, ClientID: "me", Resume: true, SessionExpiry: 60, Username: "anna", Password: "secret", KeepAlive: 90 * time.Second,
			Will: &packet.Will{Topic: "gone", Payload: []byte("me")},
		}
		var got *packet.ConnectPacket
		address := listen(t, func(s *server) error {
			f, err := s.next()
			if err != nil {
				return err
			}
			if got, err = f.Connect(); err != nil {
				return err
			}
			return all(
				func() error { return s.Send(packet.AppendConnack(nil, v, true, packet.Success, nil)) },
				func() error { return s.want(packet.AppendDisconnect(nil, v, packet.NormalDisconnection, nil)) },
			)
		})
		c := dial(t, address, o)
		if !c.Connack().SessionPresent || c.ID() != "me" {
			t.Errorf("CONNACK %+v, identifier %q", c.Connack(), c.ID())
		}
		if err := c.Disconnect(); err != nil {
			t.Error(err)
		}
		if !errors.Is(c.Err(), ErrClosed) {
			t.Errorf("ended with %v", c.Err())
		}
		if got.Version != v || got.CleanStart || got.KeepAlive != 90 || got.Username != "anna" || string(got.Password) != "secret" || got.Will == nil {
			t.Errorf("CONNECT %+v", got)
		}
		if v == packet.V5 && got.Properties.SessionExpiry != 60 {
			t.Errorf("properties %+v", got.Properties)
		}
	}
}

func TestRefused(t *testing.T) {
	address := listen(t, func(s *server) error {
		_, err := s.next()
		return errors.Join(err, s.Send(packet.AppendConnack(nil, packet.V5, false, packet.NotAuthorized, (&packet.Properties{ReasonString: "not you"}).Set(packet.ReasonString))))
	})
	_, err := Dial(t.Context(), address, Options{})
	var refused *RefusedError
	if !errors.As(err, &refused) || refused.Code != packet.NotAuthorized || refused.Reason != "not you" {
		t.Errorf("%v", err)
	}
	if _, err := Dial(t.Context(), "tcp://127.0.0.1:1", Options{}); err == nil {
		t.Error("an unknown scheme")
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	silent := listen(t, func(s *server) error {
		_, err := s.next()
		cancel(errors.New("enough"))
		return err
	})
	if _, err := Dial(ctx, silent, Options{}); err == nil || !errors.Is(err, context.Cause(ctx)) {
		t.Errorf("a server that does not answer: %v", err)
	}
}

// Many publishes are in flight, as many as the server allows, and each ends with its own answer.
func TestPublish(t *testing.T) {
	two := (&packet.Properties{ReceiveMaximum: 2}).Set(packet.ReceiveMaximum)
	blocked := make(chan struct{})
	address := listen(t, func(s *server) error {
		return all(
			func() error { return s.accept(false, two) },
			func() error { return s.want([]byte{0x30, 5, 0, 1, 'a', 0, 'x'}) },
			func() error { return s.want([]byte{0x32, 7, 0, 1, 'a', 0, 1, 0, 'y'}) },
			func() error { return s.want([]byte{0x34, 7, 0, 1, 'a', 0, 2, 0, 'z'}) },
			func() error { <-blocked; return nil },
			func() error { return s.ack(packet.Pubrec, 2, packet.Success) },
			func() error { return s.wantAck(packet.Pubrel, 2, packet.Success) },
			func() error { return s.ack(packet.Puback, 1, packet.QuotaExceeded) },
			func() error { return s.want([]byte{0x32, 7, 0, 1, 'b', 0, 3, 0, 'w'}) },
			func() error { return s.ack(packet.Pubcomp, 2, packet.Success) },
			func() error { return s.ack(packet.Puback, 3, packet.NoMatchingSubscribers) },
			func() error { return s.ack(packet.Puback, 77, packet.Success) }, // nobody's
			func() error { return s.ack(packet.Pubrec, 78, packet.Success) },
			func() error { return s.wantAck(packet.Pubrel, 78, packet.PacketIdentifierNotFound) },
		)
	})
	c := dial(t, address, Options{})
	ctx := t.Context()
	if _, err := c.Publish(ctx, Message{Topic: "a", Payload: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	one, err := c.Start(ctx, Message{Topic: "a", Payload: []byte("y"), QoS: 1})
	if err != nil {
		t.Fatal(err)
	}
	other, err := c.Start(ctx, Message{Topic: "a", Payload: []byte("z"), QoS: 2})
	if err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(ctx, time.Millisecond)
	defer cancel()
	if _, err := c.Start(short, Message{Topic: "b", QoS: 1}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a third one in flight: %v", err)
	}
	close(blocked)
	if code, err := c.Publish(ctx, Message{Topic: "b", Payload: []byte("w"), QoS: 1}); err != nil || code != packet.NoMatchingSubscribers {
		t.Errorf("%v, %v", code, err)
	}
	if code, err := c.Wait(ctx, one); err == nil || code != packet.QuotaExceeded {
		t.Errorf("%v, %v", code, err)
	}
	if code, err := c.Wait(ctx, other); err != nil || code != packet.Success {
		t.Errorf("%v, %v", code, err)
	}
	<-c.Done()
	if _, err := c.Publish(ctx, Message{Topic: "b", QoS: 1}); err == nil || c.Session().Unacknowledged() > 1 {
		t.Errorf("after the end: %v, %d", err, c.Session().Unacknowledged())
	}
}

// What was not acknowledged is sent again on the next connection, and fails when the server has forgotten the session.
func TestResend(t *testing.T) {
	address := listen(t,
		func(s *server) error {
			return all(
				func() error { return s.accept(false, nil) },
				func() error { _, err := s.next(); return err },
				func() error { _, err := s.next(); return err },
				func() error { _, err := s.next(); return err },
				func() error { return s.ack(packet.Pubrec, 2, packet.Success) },
				func() error { return s.wantAck(packet.Pubrel, 2, packet.Success) },
			)
		},
		func(s *server) error {
			return all(
				func() error { return s.accept(true, nil) },
				func() error { return s.want([]byte{0x3A, 6, 0, 1, 'a', 0, 1, 0}) },
				func() error { return s.wantAck(packet.Pubrel, 2, packet.Success) },
				func() error { return s.want([]byte{0x3C, 6, 0, 1, 'c', 0, 3, 0}) },
				func() error { return s.ack(packet.Puback, 1, packet.Success) },
				func() error { return s.ack(packet.Pubcomp, 2, packet.Success) },
			)
		},
		func(s *server) error { return s.accept(false, nil) },
	)
	session := &Session{}
	o := Options{ClientID: "x", Session: session, Resume: true}
	c := dial(t, address, o)
	var sent []*Publishing
	for i, topic := range []string{"a", "b", "c"} {
		p, err := c.Start(t.Context(), Message{Topic: topic, QoS: byte(1 + (i+1)/2)})
		if err != nil {
			t.Fatal(err)
		}
		sent = append(sent, p)
	}
	<-c.Done()
	if _, err := c.Wait(t.Context(), sent[0]); err == nil {
		t.Error("acknowledged by nobody")
	}
	c = dial(t, address, o)
	for _, p := range sent[:2] {
		if _, err := c.Wait(t.Context(), p); err != nil {
			t.Error(err)
		}
	}
	<-c.Done()
	c = dial(t, address, o)
	if _, err := c.Wait(t.Context(), sent[2]); !errors.Is(err, ErrSessionLost) || session.Unacknowledged() != 0 {
		t.Errorf("%v, %d left", err, session.Unacknowledged())
	}
}

func TestSubscribe(t *testing.T) {
	address := listen(t, func(s *server) error {
		return all(
			func() error { return s.accept(false, nil) },
			func() error { return s.want([]byte{0x82, 11, 0, 1, 0, 0, 1, 'a', 1, 0, 1, 'b', 0x2E}) },
			func() error {
				return s.Send(packet.AppendSuback(nil, s.v, 1, []packet.Code{packet.GrantedQoS1, packet.NotAuthorized}, nil))
			},
			func() error { return s.want([]byte{0xA2, 6, 0, 2, 0, 0, 1, 'a'}) },
			func() error {
				return s.Send(packet.AppendUnsuback(nil, s.v, 2, []packet.Code{packet.NoSubscriptionExisted}, nil))
			},
		)
	})
	c := dial(t, address, Options{})
	codes, err := c.Subscribe(t.Context(), packet.Subscription{Filter: "a", QoS: 1},
		packet.Subscription{Filter: "b", QoS: 2, NoLocal: true, RetainAsPublished: true, RetainHandling: 2})
	if err == nil || len(codes) != 2 || codes[0] != packet.GrantedQoS1 {
		t.Errorf("%v, %v", codes, err)
	}
	codes, err = c.Unsubscribe(t.Context(), "a")
	if err != nil || len(codes) != 1 || codes[0] != packet.NoSubscriptionExisted {
		t.Errorf("%v, %v", codes, err)
	}
	<-c.Done()
	if _, err := c.Subscribe(t.Context(), packet.Subscription{Filter: "a"}); err == nil {
		t.Error("subscribed without a server")
	}
}

// What the server has answered counts, also if it has closed the connection by the time that anybody looks.
func TestAnsweredBeforeTheEnd(t *testing.T) {
	for range 64 { // of two things that are ready, select takes either
		c := &Client{version: packet.V5, session: &Session{}, done: make(chan struct{}), err: io.EOF}
		near, far := net.Pipe()
		c.conn = NewConn(near)
		go func() {
			defer close(c.done)
			defer far.Close()
			f, err := NewConn(far).ReadPacket(time.Time{})
			if err != nil {
				t.Error(err)
				return
			}
			c.session.answered(uint16(f.Body[0])<<8|uint16(f.Body[1]), packet.Frame{Type: packet.Unsuback, Body: []byte{f.Body[0], f.Body[1], 0, 0}})
		}()
		if _, err := c.Unsubscribe(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		_ = near.Close()
	}
}

// A QoS 2 message is received once, also when the server sends it again on another connection.
func TestReceive(t *testing.T) {
	address := listen(t,
		func(s *server) error {
			return all(
				func() error { return s.accept(false, nil) },
				func() error {
					return s.publish(packet.OutPublish{Topic: "a", Properties: (&packet.Properties{TopicAlias: 1}).Set(packet.TopicAlias)})
				},
				func() error {
					return s.publish(packet.OutPublish{Payload: []byte("1"), QoS: 1, ID: 9, Properties: (&packet.Properties{TopicAlias: 1}).Set(packet.TopicAlias)})
				},
				func() error { return s.wantAck(packet.Puback, 9, packet.Success) },
				func() error { return s.publish(packet.OutPublish{Topic: "b", QoS: 2, ID: 9}) },
				func() error { return s.wantAck(packet.Pubrec, 9, packet.Success) },
				func() error { return s.publish(packet.OutPublish{Topic: "b", QoS: 2, ID: 9, Dup: true}) },
				func() error { return s.wantAck(packet.Pubrec, 9, packet.Success) },
			)
		},
		func(s *server) error {
			return all(
				func() error { return s.accept(true, nil) },
				func() error { return s.publish(packet.OutPublish{Topic: "b", QoS: 2, ID: 9, Dup: true}) },
				func() error { return s.wantAck(packet.Pubrec, 9, packet.Success) },
				func() error { return s.ack(packet.Pubrel, 9, packet.Success) },
				func() error { return s.wantAck(packet.Pubcomp, 9, packet.Success) },
				func() error { return s.publish(packet.OutPublish{Topic: "c", QoS: 2, ID: 9}) },
				func() error { return s.wantAck(packet.Pubrec, 9, packet.NotAuthorized) },
				func() error {
					return s.Send(packet.AppendDisconnect(nil, s.v, packet.ServerShuttingDown, nil))
				},
			)
		},
	)
	o := Options{ClientID: "x", Session: &Session{}, Resume: true}
	receive := func(c *Client) *Message {
		m, err := c.Receive(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	c := dial(t, address, o)
	for i, want := range []string{"a 0", "a 1", "b 2"} {
		if m := receive(c); fmt.Sprint(m.Topic, " ", m.QoS) != want {
			t.Errorf("message %d: %+v, want %s", i, m, want)
		}
	}
	<-c.Done()
	o.ManualAck = true
	c = dial(t, address, o)
	m := receive(c)
	if m.Topic != "c" {
		t.Errorf("a second time: %+v", m)
	}
	if err := c.Ack(m, packet.NotAuthorized); err != nil {
		t.Error(err)
	}
	<-c.Done()
	var ended *DisconnectedError
	if _, err := c.Receive(t.Context()); !errors.As(err, &ended) || ended.Code != packet.ServerShuttingDown {
		t.Errorf("the end: %v", err)
	}
}

// A client that nobody receives from stops reading, and closing it does not hang.
func TestBuffer(t *testing.T) {
	address := listen(t, func(s *server) error {
		if err := s.accept(false, nil); err != nil {
			return err
		}
		for s.publish(packet.OutPublish{Topic: "a", Payload: make([]byte, 64<<10)}) == nil {
		}
		return nil
	})
	c := dial(t, address, Options{Buffer: 1})
	if _, err := c.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.Kill()
	if _, err := c.Receive(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("after the end: %v", err)
	}
}

func TestKeepAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		result := make(chan error, 1)
		go func() {
			s := &server{Conn: NewConn(far)}
			begin := time.Now()
			result <- all(
				func() error {
					return s.accept(false, (&packet.Properties{ServerKeepAlive: 5}).Set(packet.ServerKeepAlive))
				},
				func() error { return s.want(packet.AppendPingreq(nil)) },
				func() error { return s.Send(packet.AppendPingresp(nil)) },
				func() error { return s.want(packet.AppendPingreq(nil)) },
				func() error {
					if took := time.Since(begin); took != 10*time.Second {
						return fmt.Errorf("the second ping came after %s", took)
					}
					return nil
				},
				func() error {
					for { // silence
						if _, err := s.next(); err != nil {
							return err
						}
					}
				},
			)
		}()
		c, err := Dial(t.Context(), "pipe:", Options{KeepAlive: time.Minute, Dial: func(context.Context, *url.URL) (net.Conn, error) { return near, nil }})
		if err != nil {
			t.Fatal(err)
		}
		<-c.Done()
		if c.Err() == nil || c.Err().Error() != "the server does not answer pings" {
			t.Errorf("ended with %v", c.Err())
		}
		if err := <-result; !errors.Is(err, io.EOF) {
			t.Error(err)
		}
	})
}
