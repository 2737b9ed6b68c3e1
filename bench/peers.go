package main

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"time"
)

// A peer is a server that speaks echo.
type peer struct {
	source string // its directory below peers
	argv   func(o serverOptions) []string
}

// serverOptions say how a server is started.
type serverOptions struct {
	pause   time.Duration // how long marked requests block
	tls     bool
	profile string // file for a CPU profile
}

// peers are the servers by name.
func peers() map[string]peer {
	return map[string]peer{
		"spate":         {"spate", goServer("spate")},
		"spate-net":     {"spate", goServer("spate", "-engine", "net")},
		"gonet":         {"gonet", goServer("gonet")},
		"netpoll":       {"netpoll", goServer("netpoll")},
		"tokio":         {"tokio", tokioServer("multi", "thread")},
		"tokio-current": {"tokio", tokioServer("current", "thread")},
		"tokio-timer":   {"tokio", tokioServer("multi", "timer")},
		"tokio-pool":    {"tokio", tokioServer("multi", "pool")},
	}
}

func peerNames() []string { return slices.Sorted(maps.Keys(peers())) }

func goServer(name string, flags ...string) func(serverOptions) []string {
	return func(o serverOptions) []string {
		argv := append([]string{filepath.Join(target, name)}, flags...)
		argv = append(argv, fmt.Sprint("-tls=", o.tls), fmt.Sprint("-pause=", o.pause))
		if o.profile != "" {
			argv = append(argv, "-cpuprofile="+o.profile)
		}
		return argv
	}
}

// tokioServer is the Rust program, with the way in which its marked requests
// block.
func tokioServer(runtime, block string) func(serverOptions) []string {
	return func(o serverOptions) []string {
		if o.pause == 0 {
			block = "none"
		}
		return []string{filepath.Join(target, "release", "tokio-echo"), "127.0.0.1:0", runtime, block,
			fmt.Sprint(o.pause.Milliseconds())}
	}
}
