package load

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"
)

// serve answers connections with handle until the test ends.
func serve(t *testing.T, config *tls.Config, handle func(net.Conn)) (address string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if config != nil {
		ln = tls.NewListener(ln, config)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				handle(c)
			})
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		all.Wait()
	})
	return ln.Addr().String()
}

func echo(c net.Conn) { _, _ = io.Copy(c, c) }

// deaf reads and never answers.
func deaf(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

// dying echoes on each connection for a time after its first message, and then only reads.
func dying(after time.Duration) func(net.Conn) {
	return func(c net.Conn) {
		buf := make([]byte, 1024)
		var when time.Time
		for {
			n, err := c.Read(buf)
			if err != nil {
				return
			}
			if when.IsZero() {
				when = time.Now().Add(after)
			}
			if time.Now().After(when) {
				deaf(c)
				return
			}
			if _, err := c.Write(buf[:n]); err != nil {
				return
			}
		}
	}
}

// pausing echoes, and blocks for a time on messages whose first byte is 1.
func pausing(size int, pause time.Duration) func(net.Conn) {
	return func(c net.Conn) {
		buf := make([]byte, size)
		for {
			if _, err := io.ReadFull(c, buf); err != nil {
				return
			}
			if buf[0] == 1 {
				<-time.After(pause)
			}
			if _, err := c.Write(buf); err != nil {
				return
			}
		}
	}
}

// stalling echoes, but answers nothing between two moments after its start.
func stalling(from, to time.Duration) func(net.Conn) {
	begin := time.Now()
	return func(c net.Conn) {
		buf := make([]byte, 1024)
		for {
			n, err := c.Read(buf)
			if err != nil {
				return
			}
			if since := time.Since(begin); since > from && since < to {
				<-time.After(to - since)
			}
			if _, err := c.Write(buf[:n]); err != nil {
				return
			}
		}
	}
}

// certificate returns the two sides' configurations for a throw-away one.
func certificate(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotAfter:     time.Now().Add(time.Hour),
		DNSNames:     []string{"localhost"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(parsed)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}},
		&tls.Config{RootCAs: roots, ServerName: "localhost"}
}
