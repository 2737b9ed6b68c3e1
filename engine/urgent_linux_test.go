package engine_test

import (
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/spate-io/spate/engine"
)

// A read stops short of urgent data although more lies behind it: what comes
// after is served too.
func TestUrgentData(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver string) {
		gate := make(chan struct{})
		p := &lines{handle: func(c *engine.Conn, line string) error {
			if line == "wait" {
				<-gate
			}
			return echoLine(c, line)
		}}
		s := serve(t, driver, "tcp", p, engine.Limits{})
		c := s.dial()
		c.send("wait\n")
		waitFor(t, "the handler", func() bool { return s.only().Info().State == "serving" })
		rc, err := c.raw.(*net.TCPConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		if err := rc.Control(func(fd uintptr) {
			err = syscall.Sendto(int(fd), []byte("one\n!"), syscall.MSG_OOB, nil)
		}); err != nil {
			t.Fatal(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		c.send("two\n")
		<-time.After(20 * time.Millisecond) // all of it has arrived before it is read
		close(gate)
		for _, want := range []string{"wait", "one", "two"} {
			if got := c.line(); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
	})
}
