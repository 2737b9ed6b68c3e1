package main

import (
	"context"
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"time"
)

// A peer is a server that is measured.
type peer struct {
	source string // what has to be built for it
	start  func(context.Context, serverOptions) (*server, error)
}

// serverOptions say how a server is started.
type serverOptions struct {
	cpu     int
	pause   time.Duration // how long marked requests block
	tls     bool
	profile string // file for a CPU profile
	heap    string // file for a heap profile, written at SIGUSR1

	dir   string // of one that stores
	keys  int    // for which it has streams
	pprof string // address at which it serves profiles; Spate only
	mqtt  mqttServer
}

// peers are the servers by name. The first ones speak echo, the others RESP.
func peers() map[string]peer {
	all := map[string]peer{
		"spate":         {"spate", goServer("spate")},
		"spate-net":     {"spate", goServer("spate", "-engine", "net")},
		"spate-serve":   {"serve", spateEcho},
		"gonet":         {"gonet", goServer("gonet")},
		"netpoll":       {"netpoll", goServer("netpoll")},
		"tokio":         {"tokio", tokioServer("multi", "thread")},
		"tokio-current": {"tokio", tokioServer("current", "thread")},
		"tokio-timer":   {"tokio", tokioServer("multi", "timer")},
		"tokio-pool":    {"tokio", tokioServer("multi", "pool")},

		"spate-resp": {"serve", spateRESP},
		"redis":      {"redis", redisServer},
	}
	maps.Copy(all, durablePeers())
	maps.Copy(all, mqttPeers())
	return all
}

func peerNames() []string { return slices.Sorted(maps.Keys(peers())) }

func goServer(name string, flags ...string) func(context.Context, serverOptions) (*server, error) {
	return func(ctx context.Context, o serverOptions) (*server, error) {
		argv := append([]string{filepath.Join(target, name)}, flags...)
		argv = append(argv, fmt.Sprint("-tls=", o.tls), fmt.Sprint("-pause=", o.pause))
		if o.profile != "" {
			argv = append(argv, "-cpuprofile="+o.profile)
		}
		if o.heap != "" {
			argv = append(argv, "-memprofile="+o.heap)
		}
		return start(ctx, o.cpu, argv...)
	}
}

// tokioServer is the Rust program, with the way in which its marked requests
// block.
func tokioServer(runtime, block string) func(context.Context, serverOptions) (*server, error) {
	return func(ctx context.Context, o serverOptions) (*server, error) {
		if o.tls {
			return nil, fmt.Errorf("the Tokio program does not speak TLS: leave it out with -peers")
		}
		how := block
		if o.pause == 0 {
			how = "none"
		}
		return start(ctx, o.cpu, filepath.Join(target, "release", "tokio-echo"), "127.0.0.1:0", runtime, how,
			fmt.Sprint(o.pause.Milliseconds()))
	}
}

// spateRESP is the program that a user starts, with its RESP listener only.
func spateRESP(ctx context.Context, o serverOptions) (*server, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	return startAt(ctx, o.cpu, address, filepath.Join(target, "serve"), "serve", "--listen", "resp://"+address,
		"--log-level", "warn")
}

// spateEcho is the program that a user starts, with an echo listener only.
func spateEcho(ctx context.Context, o serverOptions) (*server, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	argv := []string{filepath.Join(target, "serve"), "serve", "--log-level", "warn"}
	if !o.tls {
		return startAt(ctx, o.cpu, address, append(argv, "--listen", "echo://"+address)...)
	}
	cert, key := filepath.Join(target, "cert.pem"), filepath.Join(target, "key.pem")
	if err := writeCertificate(cert, key); err != nil {
		return nil, err
	}
	return startAt(ctx, o.cpu, address, append(argv, "--listen", "echo+tls://"+address, "--tls-cert", cert, "--tls-key", key)...)
}

func redisServer(ctx context.Context, o serverOptions) (*server, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	return startAt(ctx, o.cpu, address, "redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "",
		"--appendonly", "no", "--loglevel", "warning", "--client-output-buffer-limit", "pubsub", "0", "0", "0")
}
