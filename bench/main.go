package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// A benchmark is one kind of work.
type benchmark struct {
	name, what string
	run        func(context.Context, []string) error
}

func benchmarks() []benchmark {
	return []benchmark{
		{"echo", "echo: server CPU per message and latency", runEcho},
		{"block", "echo while some requests block: latency of the others", runBlock},
		{"idle", "memory of connections that wait", runIdle},
		{"resp", "redis-benchmark against Spate and Redis", runRESP},
		{"fanout", "one publisher and many subscribers, Spate and Redis", runFanout},
		{"publish", "durable publishing, Spate and NATS in the process of the load", runPublish},
		{"xadd", "redis-benchmark with XADD, fsynced, Spate and Redis", runXAdd},
		{"live", "from publishing to live delivery, fsynced, Spate and Redis", runLive},
		{"read", "reading a stream back from the disk", runRead},
		{"handle", "from a stream through a typed handler to a stream, exactly once", runHandle},
		{"stored", "memory and start after kill -9 with much that is stored, Spate and Redis", runStored},
		{"mqtt-pairs", "many publishers, each with one subscriber, Spate and mosquitto", runMQTTPairs},
		{"mqtt-fanout", "one publisher and many subscribers, Spate and mosquitto", runMQTTFanout},
		{"mqtt-idle", "memory of MQTT sessions that wait, Spate and mosquitto", runMQTTIdle},
		{"mqtt-durable", "QoS 1, stored before it is acknowledged, and mosquitto, which does not", runMQTTDurable},
		{"mqtt-storm", "all clients come back at once, Spate and mosquitto", runMQTTStorm},
		{"mqtt-slow", "one subscriber of many stops reading, Spate and mosquitto", runMQTTSlow},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// runAll runs every benchmark with the flags that all of them have.
func runAll(ctx context.Context, args []string) error {
	for _, b := range benchmarks() {
		if err := b.run(ctx, args); err != nil {
			return fmt.Errorf("%s: %w", b.name, err)
		}
	}
	return runIdle(ctx, append([]string{"-tls"}, args...))
}

// run finds the benchmark that the first argument names.
func run(ctx context.Context, args []string) error {
	if len(args) > 0 && args[0] == "all" {
		return runAll(ctx, args[1:])
	}
	if len(args) > 0 {
		for _, b := range benchmarks() {
			if b.name == args[0] {
				return b.run(ctx, args[1:])
			}
		}
	}
	fmt.Fprintln(os.Stderr, "Usage: go run . BENCHMARK [FLAGS]; -h after the benchmark shows its flags.")
	for _, b := range benchmarks() {
		fmt.Fprintf(os.Stderr, "  %-12s %s\n", b.name, b.what)
	}
	fmt.Fprintln(os.Stderr, "  all          every one of them, with the flags that they share")
	return flag.ErrHelp
}
