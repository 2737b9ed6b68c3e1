package load

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// dialTimeout bounds the connecting of one connection.
const dialTimeout = 10 * time.Second

// Dial opens o.Conns connections, with their TLS handshakes.
func Dial(ctx context.Context, o Options) ([]net.Conn, error) {
	conns := make([]net.Conn, o.Conns)
	errs := make([]error, dialers)
	var next atomic.Int64
	var failed atomic.Bool
	var all sync.WaitGroup
	for d := range min(dialers, o.Conns) {
		all.Go(func() {
			for i := next.Add(1) - 1; i < int64(o.Conns) && !failed.Load(); i = next.Add(1) - 1 {
				if conns[i], errs[d] = dialOne(ctx, &o); errs[d] != nil {
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

func dialOne(ctx context.Context, o *Options) (net.Conn, error) {
	d := &net.Dialer{Timeout: dialTimeout}
	network := o.Network
	if network == "" {
		network = "tcp"
	}
	c, err := d.DialContext(ctx, network, o.Address)
	if err != nil || o.TLS == nil {
		return c, err
	}
	secure := tls.Client(c, o.TLS)
	handshake, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	if err := secure.HandshakeContext(handshake); err != nil {
		_ = c.Close()
		return nil, err
	}
	return secure, nil
}

func closeAll(conns []net.Conn) {
	for _, c := range conns {
		if c != nil {
			_ = c.Close()
		}
	}
}
