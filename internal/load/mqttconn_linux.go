package load

import (
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// An mqttState is how far a connection has got.
type mqttState uint8

// The states, in their order.
const (
	mqttDown        mqttState = iota
	mqttDialing               // TCP
	mqttUpgrading             // the WebSocket's handshake
	mqttConnecting            // waits for CONNACK
	mqttSubscribing           // waits for SUBACK
	mqttUp
)

func (s mqttState) String() string {
	return [...]string{"down", "connecting over TCP", "waiting for the reply to the WebSocket's handshake", "waiting for CONNACK", "waiting for SUBACK", "up"}[s]
}

// An mqttRole is what a connection is for.
type mqttRole uint8

// The roles.
const (
	mqttPublisherRole mqttRole = iota
	mqttSubscriberRole
	mqttIdleRole
	mqttOfflineRole
)

func (r mqttRole) String() string {
	return [...]string{"publisher", "subscriber", "idle connection", "offline session"}[r]
}

// An mqttConn is one connection.
type mqttConn struct {
	socket
	number  int // within its role
	role    mqttRole
	state   mqttState
	urgent  bool   // it waits in the epoll instance that is asked more often
	stalled bool   // it does not read
	frames  []byte // of a WebSocket: the part of a frame that has arrived
}

func (c *mqttConn) String() string { return fmt.Sprintf("%s %d", c.role, c.number) }

// dial begins to connect connection i; an event says when that is done.
func (r *mqttRun) dial(i int) error {
	c := &r.conns[i]
	fd, err := unix.Socket(r.domain, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("opening a socket: %w", err)
	}
	c.fd, c.in, c.out, c.frames, c.state = fd, c.in[:0], c.out[:0], c.frames[:0], mqttDialing
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return fmt.Errorf("setting TCP_NODELAY: %w", err)
	}
	r.dialing++
	if err := unix.Connect(fd, r.sockaddr); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		return r.broken(i, err)
	}
	p := &r.poller
	if c.urgent {
		p = &r.urgent
	}
	return p.register(&c.socket, i)
}

// resolve looks up where to connect to.
func (r *mqttRun) resolve() error {
	a, err := net.ResolveTCPAddr("tcp", r.address.host)
	if err != nil {
		return fmt.Errorf("looking up the server: %w", err)
	}
	if v4 := a.IP.To4(); v4 != nil || a.IP == nil {
		s := &unix.SockaddrInet4{Port: a.Port, Addr: [4]byte{127, 0, 0, 1}}
		copy(s.Addr[:], v4)
		r.domain, r.sockaddr = unix.AF_INET, s
		return nil
	}
	s := &unix.SockaddrInet6{Port: a.Port}
	copy(s.Addr[:], a.IP)
	r.domain, r.sockaddr = unix.AF_INET6, s
	return nil
}

// broken is told that a connection has failed. In a storm an idle one tries again; of a stalled one nobody minds;
// otherwise the run is over.
func (r *mqttRun) broken(i int, err error) error {
	c := &r.conns[i]
	state := c.state
	r.hangUp(c)
	switch {
	case r.storm != nil && c.role == mqttIdleRole:
		r.storm.retry(i, r.m.now())
		return nil
	case c.stalled:
		r.r.StalledClosed++
		return nil
	case state == mqttDialing:
		return fmt.Errorf("connecting to %s: %w", r.address.host, err)
	case state < mqttUp:
		return fmt.Errorf("connecting %s to %s, while %s: %w", c, r.o.URL, state, err)
	}
	return fmt.Errorf("%s: %w", c, err)
}

// hangUp closes a connection.
func (r *mqttRun) hangUp(c *mqttConn) {
	if c.state != mqttDown && c.state != mqttUp {
		r.dialing--
	}
	c.state = mqttDown
	c.close()
}

// wrap makes a frame of what stands in a connection's output from start on, if it is a WebSocket.
func (r *mqttRun) wrap(c *mqttConn, start int) {
	if r.address.path != "" && len(c.out) > start {
		c.out = frame(c.out, start, frameBinary)
	}
}

// handle serves connection i after an event.
func (r *mqttRun) handle(i int, what uint32) error {
	c := &r.conns[i]
	switch {
	case c.fd < 0:
		return nil // it was closed by an event before this one
	case c.stalled && what&(unix.EPOLLHUP|unix.EPOLLERR) != 0:
		return r.broken(i, ErrPeerClosed)
	case c.stalled:
		return nil // it does not read
	}
	err := error(nil)
	if c.state == mqttDialing {
		err = r.dialed(c)
	}
	for more := err == nil && what&^unix.EPOLLOUT != 0; more && c.fd >= 0 && err == nil; {
		var b []byte
		if b, more, err = c.recv(r.buf[:]); len(b) > 0 && err == nil {
			err = r.received(i, b)
		}
	}
	if err == nil && c.fd >= 0 && len(c.out) > 0 {
		err = c.flush()
	}
	if err != nil {
		return r.broken(i, err)
	}
	switch {
	case c.role == mqttPublisherRole && len(c.out) == 0:
		r.ready(c.number)
	case r.goes(c) && c.state == mqttUp && len(c.out) == 0:
		r.hangUp(c) // its DISCONNECT has left
	}
	return nil
}

// dialed begins to speak with a server that has been reached.
func (r *mqttRun) dialed(c *mqttConn) error {
	code, err := unix.GetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	switch {
	case err != nil:
		return err
	case code != 0:
		return syscall.Errno(code)
	}
	if _, err := unix.Getpeername(c.fd); err != nil {
		return nil // not yet
	}
	if r.address.path == "" {
		r.greet(c)
		return nil
	}
	c.state = mqttUpgrading
	c.out = upgradeRequest(c.out, r.address.host, r.address.path)
	return nil
}

// greet sends CONNECT.
func (r *mqttRun) greet(c *mqttConn) {
	c.state = mqttConnecting
	start := len(c.out)
	login := mqttLogin{
		version: byte(r.o.Version), client: fmt.Sprintf("%s%c%d", r.prefix, "psio"[c.role], c.number), keepAlive: r.keepAlive,
		user: r.o.User, password: r.o.Password,
	}
	if r.lasts(c) {
		login.durable = uint32(mqttLasting / time.Second)
		r.lasting[mqttName{c.role, c.number}] = struct{}{} // before the answer, which may not be awaited
	}
	c.out = appendConnect(c.out, &login)
	r.wrap(c, start)
}

// received takes what has arrived at connection i.
func (r *mqttRun) received(i int, b []byte) error {
	r.arrived = r.m.now()
	c := &r.conns[i]
	if c.state == mqttUpgrading {
		b = c.pending(b)
		n, err := upgraded(b)
		if err != nil || n == 0 {
			return errors.Join(err, c.keep(b))
		}
		rest := append([]byte(nil), b[n:]...)
		c.in = c.in[:0]
		r.greet(c)
		if b = rest; len(b) == 0 {
			return nil
		}
	}
	if r.address.path != "" {
		if len(c.frames) > 0 {
			b = append(c.frames, b...)
		}
		var err error
		r.stream, c.out, b, err = unframe(r.stream[:0], c.out, b)
		if c.frames = append(c.frames[:0], b...); err != nil {
			return err
		}
		b = r.stream
	}
	return r.packets(i, c.pending(b))
}

// packets takes the complete packets from b and keeps the rest.
func (r *mqttRun) packets(i int, b []byte) error {
	c := &r.conns[i]
	start := len(c.out)
	for len(b) > 0 {
		p, n, err := nextMQTT(b)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		if err := r.packet(c, p); err != nil {
			return err
		}
		if b = b[n:]; c.fd < 0 {
			return nil // it has hung up
		}
	}
	r.wrap(c, start)
	return c.keep(b)
}

// packet serves one packet.
func (r *mqttRun) packet(c *mqttConn, p mqttPacket) error {
	version := byte(r.o.Version)
	if p.first&mqttType == mqttDisconnect {
		code := byte(0)
		if len(p.body) > 0 {
			code = p.body[0]
		}
		return fmt.Errorf("the server disconnected with %s", mqttReason(code))
	}
	switch c.state {
	case mqttConnecting:
		inflight, err := p.accepted(version)
		switch {
		case err != nil && r.storm == nil:
			delete(r.lasting, mqttName{c.role, c.number}) // there is none
			return err
		case err != nil:
			return err
		case r.ending:
			r.up(c)
			return nil
		case c.role == mqttPublisherRole:
			if r.o.QoS > 0 && inflight < r.o.Inflight {
				return fmt.Errorf("the server takes %d messages under way (receive maximum) and not %d", inflight, r.o.Inflight)
			}
			r.up(c)
			return nil
		}
		c.state = mqttSubscribing
		filter, qos := r.filter(c)
		c.out = appendSubscribe(c.out, version, 1, filter, qos)
		return nil
	case mqttSubscribing:
		if p.first&mqttType == mqttPublish {
			return r.flow(c, p) // it may come before the SUBACK
		}
		_, qos := r.filter(c)
		if err := p.granted(version, qos); err != nil {
			return err
		}
		r.up(c)
		return nil
	}
	return r.flow(c, p)
}

// filter returns what a connection subscribes to.
func (r *mqttRun) filter(c *mqttConn) (filter string, qos byte) {
	switch c.role {
	case mqttIdleRole:
		return topicOf(r.o.Topic, "idle", c.number), byte(r.o.QoS)
	case mqttOfflineRole:
		return everyTopic(r.o.Topic), byte(r.o.QoS)
	}
	return r.topic(c.number), byte(r.o.QoS)
}

// up notes that a connection is where it should be.
func (r *mqttRun) up(c *mqttConn) {
	r.dialing--
	r.progress = r.m.now()
	c.state = mqttUp
	if r.goes(c) {
		c.out = append(c.out, mqttDisconnect, 0)
	}
	if r.storm != nil {
		r.storm.back(r.progress)
	}
}

// dialPatience is how long nothing may happen while connections are made.
const dialPatience = 10 * time.Second
