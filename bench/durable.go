package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/spate-io/spate/stream"
)

// keyName is the name that redis-benchmark makes of a key with a random number in it.
func keyName(i int) string { return fmt.Sprintf("mystream:%012d", i) }

func durablePeers() map[string]peer {
	return map[string]peer{
		"durable":       {"durable", noServer},
		"nats":          {"nats", noServer},
		"nats-atomic":   {"nats", noServer},
		"spate-durable": {"serve", spateDurable},
		"redis-durable": {"redis", redisDurable},
	}
}

// noServer is how a program starts that works in the process of its load: not on its own.
func noServer(context.Context, serverOptions) (*server, error) {
	return nil, errors.New("it works in the process of its load and is no server")
}

// spateDurable is the program that a user starts, with a stream of one partition for each key.
func spateDurable(ctx context.Context, o serverOptions) (*server, error) {
	address, argv, err := spateArgs(o)
	if err != nil {
		return nil, err
	}
	return startAt(ctx, o.cpu, address, argv...)
}

// spateArgs writes the configuration and returns the command.
func spateArgs(o serverOptions) (address string, argv []string, err error) {
	if address, err = freeAddress(); err != nil {
		return "", nil, err
	}
	if err := os.MkdirAll(o.dir, 0o700); err != nil {
		return "", nil, err
	}
	streams := make([]stream.Config, o.keys)
	for i := range streams {
		streams[i] = stream.Config{Name: keyName(i), Subjects: []string{keyName(i)}, Partitions: 1}
	}
	listen := []string{"resp://" + address}
	if o.pprof != "" {
		listen = append(listen, "http://"+o.pprof)
	}
	config, err := json.Marshal(map[string]any{ // JSON is YAML
		"data": filepath.Join(o.dir, "data"), "listen": listen, "streams": streams,
		"log": map[string]any{"level": "warn"}, "http": map[string]any{"pprof": o.pprof != ""},
	})
	if err != nil {
		return "", nil, err
	}
	file := filepath.Join(o.dir, "spate.yaml")
	return address, []string{filepath.Join(target, "serve"), "serve", "--config", file}, os.WriteFile(file, config, 0o600)
}

// redisDurable is Redis that acknowledges what is on the disk.
func redisDurable(ctx context.Context, o serverOptions) (*server, error) {
	address, argv, err := redisArgs(o)
	if err != nil {
		return nil, err
	}
	return startAt(ctx, o.cpu, address, argv...)
}

func redisArgs(o serverOptions) (address string, argv []string, err error) {
	if address, err = freeAddress(); err != nil {
		return "", nil, err
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", nil, err
	}
	return address, []string{
		"redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--loglevel", "warning", "--dir", o.dir,
		"--appendonly", "yes", "--appendfsync", "always",
	}, os.MkdirAll(o.dir, 0o700)
}
