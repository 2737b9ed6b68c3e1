package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// target is where the servers are built.
const target = "target"

// build compiles the servers that the peers need.
func build(ctx context.Context, names ...string) error {
	done := make(map[string]bool)
	for _, name := range names {
		p, ok := peers()[name]
		if !ok {
			return fmt.Errorf("no peer is called %q; there are %s", name, strings.Join(peerNames(), ", "))
		}
		if done[p.source] {
			continue
		}
		done[p.source] = true
		if err := buildOne(ctx, p.source); err != nil {
			return fmt.Errorf("building %s: %w", p.source, err)
		}
	}
	return nil
}

// buildOne compiles a peer in Rust or Go, or Spate's binary.
func buildOne(ctx context.Context, source string) error {
	abs, err := filepath.Abs(target)
	if err != nil {
		return err
	}
	var cmd *exec.Cmd
	switch source {
	case "redis":
		_, err := exec.LookPath("redis-server")
		return err
	case "mosquitto":
		if _, err := exec.LookPath("mosquitto"); err != nil {
			return fmt.Errorf("it is Debian's package mosquitto, in /usr/sbin: %w", err)
		}
		return nil
	case "tokio":
		cmd = exec.CommandContext(ctx, "cargo", "build", "--release", "--offline", "--quiet", "--target-dir", abs)
		cmd.Dir = filepath.Join("peers", source)
	case "serve":
		cmd = exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(abs, "serve"), "./cmd/spate")
		cmd.Dir = ".."
	default:
		cmd = exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(abs, source), "./peers/"+source)
	}
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	return cmd.Run()
}
