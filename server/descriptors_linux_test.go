package server

import (
	"io"
	"net"
	"os"
	"syscall"
	"testing"
)

// Running out of descriptors stops nobody who is inside, is said once, and passes.
func TestDescriptorsRunOut(t *testing.T) {
	for _, driver := range drivers() {
		t.Run(driver, func(t *testing.T) {
			k := start(t, twoDoors+"engine: "+driver+"\nlimits: {linger_timeout: 10ms}\ndata: \"\"\n") // a store opens and closes files too
			inside := k.dial("resp")
			inside.ask("PING")
			outside := exhaust(t, func() net.Conn { return k.raw("resp") })
			k.log.message(t, "cannot accept connections; trying again")
			if got := inside.ask("PING"); got != "+PONG" {
				t.Errorf("one that is inside was answered %q", got)
			}
			for _, f := range outside {
				f.Close()
			}
			k.log.message(t, "accepting connections again")
			k.wantServed()
		})
	}
}

// exhaust takes every descriptor of the process but the one of a connection, which then waits to be accepted.
func exhaust(t *testing.T, connect func() net.Conn) (held []io.Closer) {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	low := limit
	low.Cur = uint64(len(open)) + 50
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit) })
	for {
		f, err := os.Open(os.DevNull)
		if err != nil {
			break
		}
		held = append(held, f)
	}
	held[len(held)-1].Close()
	held = held[:len(held)-1]
	connect()
	return held
}
