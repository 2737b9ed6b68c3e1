package engine

import (
	"crypto/tls"
	"net/netip"
	"os"
	"syscall"
	"testing"
)

// A connection that epoll does not take is closed, and everything that it was
// counted under is given back.
func TestRegisterFails(t *testing.T) {
	e := start(t, Epoll, Limits{PerAddress: 1})
	l := listen(t, e, &quiet{})
	l.tls = &tls.Config{}
	addr := netip.MustParseAddrPort("192.0.2.1:1")
	for range 3 {
		f, err := os.CreateTemp(t.TempDir(), "") // epoll refuses files
		if err != nil {
			t.Fatal(err)
		}
		fd, err := syscall.Dup(int(f.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
		if !l.admit(addr.Addr()) {
			t.Fatal("the address still counts")
		}
		l.driver.(*epollDriver).adopt(l, fd, addr)
		<-e.table.drained()
	}
	st := e.Stats()
	if st.Closed[ReasonInternal] != 3 || st.Handshakes != 0 || st.Connections != 0 {
		t.Errorf("got %+v", st)
	}
}
