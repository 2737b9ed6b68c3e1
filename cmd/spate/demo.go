package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/spate-io/spate/internal/fleet"
	"github.com/spate-io/spate/server"
	"github.com/spate-io/spate/store/pebblestore"
	"github.com/spate-io/spate/task"
)

// demoFlags are the flags of demo, beside those of the node.
type demoFlags struct {
	fleet    fleet.Options
	duration time.Duration
	data     string
}

func newDemoCommand() *cobra.Command {
	var f demoFlags
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run a node with a simulated fleet of devices, to look at",
		Long: `Run a node, and devices that connect to it over MQTT: each publishes its temperature, a stream keeps
the readings, a handler raises alerts, and another one turns on the fan of the device that is too hot.
What can be watched from another terminal, and how, is printed at the start.

Heaters get stuck, thermometers break and networks are cut, as --seed says. It runs until SIGINT, SIGTERM or SIGHUP, or
for --duration. Variables and files of a node are not read.`,
		Example: `  spate demo
  spate demo --devices 20 --every 100ms
  spate demo --listen mqtt://127.0.0.1:2883 --listen http://127.0.0.1:9080`,
		Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	fs := cmd.Flags()
	fs.IntVar(&f.fleet.Devices, "devices", fleet.DefaultDevices, "how many devices there are")
	fs.DurationVar(&f.fleet.Every, "every", fleet.DefaultEvery, "how often each device publishes, and how long a second of the simulation takes")
	fs.Uint64Var(&f.fleet.Seed, "seed", 0, "what happens to the devices; the same seed has the same happen (default another each time)")
	fs.DurationVar(&f.duration, "duration", 0, "how long it runs (default until it is ended)")
	fs.StringVar(&f.data, "data", "", "the directory of the node, which is kept (default a temporary one, which is removed)")
	fs.StringArrayP("listen", "l", nil, "listen at `URL`, as serve does; may be repeated, and must have one of mqtt (default resp://127.0.0.1:6379, mqtt://127.0.0.1:1883 and http://127.0.0.1:8080)")
	fs.String("log-level", "warn", "debug, info, warn or error")
	cmd.Flags().SortFlags = false
	return cmd
}

// run is the life of a demonstration: make a place for the data, open, tell, run, and remove the data.
func (f *demoFlags) run(cmd *cobra.Command) (err error) {
	switch {
	case f.duration < 0:
		return fmt.Errorf("--duration: %v is negative", f.duration)
	case f.fleet.Devices < 1 || f.fleet.Devices > fleet.MaxDevices:
		return fmt.Errorf("--devices: %d is not a number of devices from 1 to %d", f.fleet.Devices, fleet.MaxDevices)
	case f.fleet.Every < fleet.MinEvery:
		return fmt.Errorf("--every: %v is too short a time between two readings of a device; give %v or more", f.fleet.Every, fleet.MinEvery)
	}
	if !cmd.Flags().Changed("seed") {
		f.fleet.Seed = rand.Uint64N(1000) //nolint:gosec // no secret
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer context.AfterFunc(ctx, stop)() // so that a second signal ends it at once
	defer stop()
	dir := f.data
	if dir == "" {
		if dir, err = os.MkdirTemp("", "spate-demo-"); err != nil {
			return failed{fmt.Errorf("making a directory for the data: %w", err)}
		}
		defer func() {
			if gone := os.RemoveAll(dir); gone != nil {
				err = errors.Join(err, failed{fmt.Errorf("removing the data: %w", gone)})
			} else if err == nil {
				fmt.Fprintf(cmd.OutOrStdout(), "The data in %s was removed.\n", dir)
			}
		}()
	}
	d, err := f.open(cmd, dir)
	if err != nil {
		return err
	}
	if err := d.banner(cmd.OutOrStdout()); err != nil {
		return failed{errors.Join(fmt.Errorf("saying what to look at: %w", err), d.node.Close())}
	}
	if f.duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, f.duration)
		defer cancel()
	}
	if err := d.run(ctx); err != nil {
		return failed{err}
	}
	return nil
}

// A demo is a node with a fleet.
type demo struct {
	flags  *demoFlags
	node   *server.Node
	listen []server.Listener
	dir    string
	fleet  *fleet.Fleet
	screen *screen
}

// demoStore is the memory of the store of a demonstration. It needs no more, and so it is soon seen that it does not grow: that of a node fills for twenty minutes.
func demoStore() pebblestore.Options {
	return pebblestore.Options{TailBytes: 2 << 20, CacheBytes: 2 << 20, MemTableBytes: 2 << 20}
}

// demoDrain is how long requests have to finish in the end: whoever ends a demonstration does not want to wait for a device that is away.
const demoDrain = "1s"

// open makes the node, with its streams and handlers, and the fleet.
func (f *demoFlags) open(cmd *cobra.Command, dir string) (*demo, error) {
	from := sources(cmd.Flags())
	from.Environ, from.File = nil, ""
	from.Flags = append(from.Flags, server.Flag{Key: "data", Values: []string{filepath.Clean(dir)}}, server.Flag{Key: "drain_timeout", Values: []string{demoDrain}},
		server.Flag{Name: "--log-level", Key: "log.level", Values: []string{cmd.Flag("log-level").Value.String()}})
	settings, err := server.Load(from)
	if err != nil {
		return nil, err
	}
	settings.Streams = streams()
	d := &demo{flags: f, listen: settings.Listen, dir: dir, screen: newScreen(cmd.OutOrStdout())}
	d.node, err = server.New(settings, server.Options{
		Log: cmd.ErrOrStderr(), Terminal: isTerminal(cmd.ErrOrStderr()), Version: version(), Embedded: demoStore(),
	})
	if err != nil {
		return nil, otherPorts(err, settings.Listen)
	}
	f.fleet.Server = d.url("mqtt")
	if f.fleet.Server == "" {
		err = errors.New("the devices need a listener that speaks MQTT: give --listen mqtt://127.0.0.1:1883 too")
	}
	if err == nil {
		d.fleet, err = fleet.New(f.fleet)
	}
	if err == nil {
		err = handle(d.node.App())
	}
	if err != nil {
		return nil, errors.Join(err, d.node.Close())
	}
	return d, nil
}

// url is how to reach the first listener of a protocol over plain TCP, and empty if there is none.
func (d *demo) url(protocol string) string {
	for i, l := range d.listen {
		if strings.HasPrefix(l.URL, protocol+"://") {
			return protocol + "://" + reachable(d.node.Addrs()[i])
		}
	}
	return ""
}

// run serves and simulates until ctx ends. The devices go first, and then the node.
func (d *demo) run(ctx context.Context) error {
	working, end := context.WithCancel(ctx)
	defer end()
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	w, err := d.watch()
	if err != nil {
		return errors.Join(err, d.node.Close())
	}
	var node, work task.Scope
	node.Go(serving, "node", func(ctx context.Context) error {
		defer end()
		return d.node.Run(ctx)
	})
	err = work.Run(working, "demo", func(ctx context.Context) error {
		work.Go(ctx, "alerts", w.alerts)
		work.Go(ctx, "fans", w.fans)
		work.Go(ctx, "fleet", d.fleet.Run)
		w.summarize(ctx)
		return nil
	})
	w.close()
	stop()
	return errors.Join(err, node.Wait())
}
