package engine

import (
	"encoding/json"
	"net/netip"
	"time"
)

// Info describes a connection at one moment. In JSON, Age and Idle are
// age_seconds and idle_seconds, numbers with a fraction.
type Info struct {
	ID       uint64         `json:"id"`
	Remote   string         `json:"remote"`
	Listener string         `json:"listener"`
	Protocol string         `json:"protocol"`
	User     string         `json:"user,omitempty"`
	Detail   string         `json:"detail,omitempty"`
	State    string         `json:"state"` // idle, serving or closing
	Age      time.Duration  `json:"-"`
	Idle     time.Duration  `json:"-"`
	BytesIn  uint64         `json:"bytes_in"`
	BytesOut uint64         `json:"bytes_out"`
	Waiting  int            `json:"waiting"` // bytes that wait to be sent
	Dropped  uint32         `json:"dropped"` // messages dropped by overflow policies
	Addr     netip.AddrPort `json:"-"`
}

// Info returns a description of the connection as it is now.
func (c *Conn) Info() (i Info) {
	now := c.eng.clock.ticks()
	i = Info{
		ID: c.id, Remote: c.RemoteString(), Addr: c.Remote(),
		Listener: c.lst.name, Protocol: c.lst.proto.Name(),
		Age:     time.Duration(now-c.openedAt) * wheelTick,
		Idle:    time.Duration(now-c.lastAt.Load()) * wheelTick,
		BytesIn: c.bytesIn.Load(), BytesOut: c.bytesOut.Load(),
		State: "idle",
	}
	if c.busy() {
		i.State = "serving"
	}
	c.mu.Lock()
	i.Waiting = c.waitingLocked()
	i.Dropped = c.dropped
	if c.phase != phaseOpen {
		i.State = "closing"
	}
	sess := c.sess
	c.mu.Unlock()
	if d, ok := sess.(Describer); ok {
		c.contain("describing the session", func() { i.User, i.Detail = d.Describe() })
	}
	return i
}

// MarshalJSON implements json.Marshaler.
func (i Info) MarshalJSON() ([]byte, error) {
	type plain Info // without this method
	return json.Marshal(struct {
		plain
		Age  float64 `json:"age_seconds"`
		Idle float64 `json:"idle_seconds"`
	}{plain(i), i.Age.Seconds(), i.Idle.Seconds()})
}
