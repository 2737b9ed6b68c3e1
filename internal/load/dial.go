package load

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// dialTimeout bounds the connecting of one connection, until it is prepared.
const dialTimeout = 10 * time.Second

// Dial opens o.Conns connections, with their TLS handshakes and preparation.
func Dial(ctx context.Context, o Options) ([]net.Conn, error) {
	o.Network, o.Conns = cmp.Or(o.Network, "tcp"), cmp.Or(o.Conns, 1)
	conns := make([]net.Conn, o.Conns)
	errs := make([]error, dialers)
	var next atomic.Int64
	var failed atomic.Bool
	var all sync.WaitGroup
	for d := range min(dialers, o.Conns) {
		all.Go(func() {
			for i := next.Add(1) - 1; i < int64(o.Conns) && !failed.Load(); i = next.Add(1) - 1 {
				if conns[i], errs[d] = dialOne(ctx, &o, int(i)); errs[d] != nil {
					conns[i] = nil
					failed.Store(true)
				}
			}
		})
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			closeAll(conns)
			return nil, fmt.Errorf("connecting to %s: %w", o.Address, err)
		}
	}
	return conns, nil
}

func dialOne(ctx context.Context, o *Options, i int) (c net.Conn, err error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	var d net.Dialer
	if c, err = d.DialContext(ctx, o.Network, o.Address); err != nil {
		return nil, err
	}
	if o.TLS != nil {
		secure := tls.Client(c, o.TLS)
		err = secure.HandshakeContext(ctx)
		c = secure
	}
	if err == nil && o.Prepare != nil {
		deadline, _ := ctx.Deadline()
		_ = c.SetDeadline(deadline)
		err = o.Prepare(i, c)
		_ = c.SetDeadline(time.Time{})
	}
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

func closeAll(conns []net.Conn) {
	for _, c := range conns {
		if c != nil {
			_ = c.Close()
		}
	}
}
