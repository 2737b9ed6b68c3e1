// Package peer holds what the servers written in Go have in common: their
// flags, a certificate, a CPU profile, and the line that tells the runner
// where they listen.
package peer

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/signal"
	"runtime"
	"runtime/pprof"
	"syscall"
	"time"
)

// Flags are what every server in Go understands.
type Flags struct {
	Listen  string
	Pause   time.Duration // how long a marked request blocks
	TLS     bool
	Engine  string // Spate only
	profile string
	heap    string
}

// ParseFlags reads the command line, and starts the profile if one is asked
// for.
func ParseFlags() Flags {
	var f Flags
	flag.StringVar(&f.Listen, "listen", "127.0.0.1:0", "address to listen on")
	flag.DurationVar(&f.Pause, "pause", 0, "how long a request blocks whose first byte is 1")
	flag.BoolVar(&f.TLS, "tls", false, "speak TLS, with a certificate made for the occasion")
	flag.StringVar(&f.Engine, "engine", "", "Spate's driver: epoll or net")
	flag.StringVar(&f.profile, "cpuprofile", "", "file for a CPU profile, written at SIGTERM")
	flag.StringVar(&f.heap, "memprofile", "", "file for a heap profile, written at SIGUSR1")
	flag.Parse()
	return f
}

// Stop returns a channel that is closed at SIGTERM, once the profile is
// written.
func (f Flags) Stop() <-chan struct{} {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	if f.heap != "" {
		signal.Notify(signals, syscall.SIGUSR1)
		runtime.MemProfileRate = 512 // nearly every allocation
	}
	if f.profile != "" {
		if out, err := os.Create(f.profile); err != nil {
			fmt.Fprintln(os.Stderr, err)
		} else if err := pprof.StartCPUProfile(out); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	stop := make(chan struct{})
	go func() {
		for s := range signals {
			if s != syscall.SIGUSR1 {
				break
			}
			f.writeHeap()
		}
		pprof.StopCPUProfile()
		close(stop)
	}()
	return stop
}

// writeHeap writes what is live, and says what the runtime holds.
func (f Flags) writeHeap() {
	out, err := os.Create(f.heap)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	defer out.Close()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	runtime.GC()
	runtime.ReadMemStats(&after)
	fmt.Fprintf(os.Stderr, "heap %d KiB with garbage, %d KiB without; stacks %d KiB; %d goroutines\n",
		before.HeapAlloc>>10, after.HeapAlloc>>10, after.StackInuse>>10, runtime.NumGoroutine())
	if err := pprof.WriteHeapProfile(out); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

// Stopped returns nil for the error that a closed listener gives.
func (f Flags) Stopped(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// Listening tells the runner the address.
func Listening(a net.Addr) { fmt.Println("listening on", a) }

// Listener opens the listener of a server that uses Go's net.
func (f Flags) Listener() (net.Listener, error) {
	ln, err := net.Listen("tcp", f.Listen)
	if err != nil || !f.TLS {
		return ln, err
	}
	config, err := f.Config()
	if err != nil {
		return nil, err
	}
	return tls.NewListener(ln, config), nil
}

// Config returns a TLS configuration with a certificate of its own, or nil.
func (f Flags) Config() (*tls.Config, error) {
	if !f.TLS {
		return nil, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		DNSNames:     []string{"localhost"},
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("making a certificate: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, nil
}
