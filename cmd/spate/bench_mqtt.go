package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/spate-io/spate/internal/load"
)

// benchMQTTFlags are what `spate bench mqtt` is told.
type benchMQTTFlags struct {
	o            load.MQTTOptions
	passwordFile string
}

func newBenchMQTTCommand() *cobra.Command {
	var f benchMQTTFlags
	cmd := &cobra.Command{
		Use:   "mqtt",
		Short: "Publish and receive with MQTT, or hold idle sessions",
		Long: `Publishes and receives with MQTT, holds idle sessions, or lets them all come back at once. Every message that
arrives is compared with what was published; what is lost or comes twice is counted.

Without --rate a publisher has up to --inflight messages under way, which every subscriber that reads has yet to
receive, or the server to acknowledge (QoS 1 and 2). With --rate messages are due at fixed intervals, and latency
counts from when they were due. {} in --topic stands for the publisher's number: subscriber S is subscribed to
the topic of publisher S modulo --publishers. Without {} every subscriber receives everything.

The sessions of --offline and --durable outlive their connections, and are ended in the end, also after an
interrupt. If bench is killed they stay, and the server stores for them what is published, also by later benches,
until they expire after 18 hours or "spate session rm" ends them: "spate session ls --away" lists them.

URL is mqtt://HOST:PORT, or ws://HOST:PORT/mqtt for WebSockets. It needs Linux.`,
		Example: `  spate bench mqtt --publishers 1000 --subscribers 1000 --qos 1 --pid "$(pidof spate)"
  spate bench mqtt --publishers 1 --subscribers 1000 --topic bench/all
  spate bench mqtt --publishers 100 --subscribers 0 --qos 1 --offline 1
  spate bench mqtt --connections 10000 --settle 5s --pid "$(pidof spate)"
  spate bench mqtt --connections 10000 --publishers 1 --subscribers 1 --rate 1000 --storm
  spate bench mqtt --publishers 1 --subscribers 100 --topic bench/all --stalled 1`,
		Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	f.add(cmd)
	return cmd
}

func (f *benchMQTTFlags) add(cmd *cobra.Command) {
	fs, o := cmd.Flags(), &f.o
	fs.SortFlags = false
	fs.StringVar(&o.URL, "url", "mqtt://127.0.0.1:1883", "`URL` of the server")
	fs.IntVar(&o.Version, "version", 5, "version of the protocol: 5, or 4 for 3.1.1")
	fs.IntVar(&o.Publishers, "publishers", 100, "connections that publish; none by default if there are --connections")
	fs.IntVar(&o.Subscribers, "subscribers", 100, "connections that are subscribed; none by default if there are --connections")
	fs.StringVar(&o.Topic, "topic", "bench/{}", "`TOPIC` to publish to, where {} stands for the publisher's number")
	fs.IntVar(&o.QoS, "qos", 0, "quality of service of publishing and of subscribing: 0, 1 or 2")
	fs.IntVar(&o.Size, "size", 16, "bytes of a payload, at least 8; latency is measured from 16 on")
	fs.IntVar(&o.Inflight, "inflight", 20, "messages of a publisher under way at the same time")
	fs.Float64Var(&o.Rate, "rate", 0, "`MESSAGES` published per second over all publishers; 0 means as many as --inflight allows")
	fs.DurationVar(&o.Duration, "duration", 10*time.Second, "how long to measure")
	fs.DurationVar(&o.Warmup, "warmup", time.Second, "how long to publish before measuring")
	fs.IntVar(&o.Connections, "connections", 0, "connections that are idle, each subscribed to a filter of its own")
	fs.DurationVar(&o.Settle, "settle", 0, "how long to rest before the server's memory is read")
	fs.BoolVar(&o.Storm, "storm", false, "drop all --connections at the end and let them come back at once")
	fs.DurationVar(&o.Away, "away", 0, "how long those of --storm are away before they come back")
	fs.IntVar(&o.Stalled, "stalled", 0, "subscribers that stop reading when measuring begins")
	fs.IntVar(&o.Offline, "offline", 0, "sessions that are subscribed to everything and offline, so that the server stores it")
	fs.BoolVar(&o.Durable, "durable", false, "give subscribers and --connections sessions that outlive the connection")
	fs.IntVar(&o.PID, "pid", 0, "`PROCESS` of the server, on this machine, whose CPU time and memory are measured")
	fs.StringVar(&o.User, "user", "", "`NAME` to connect as (default none)")
	fs.StringVar(&f.passwordFile, "password-file", "", "`FILE` with the password to connect with")
}

// run loads the server and prints what came of it.
func (f *benchMQTTFlags) run(cmd *cobra.Command) error {
	if err := f.check(cmd); err != nil {
		return err
	}
	p := newProgress(cmd.ErrOrStderr(), "messages", f.o.Warmup, f.o.Duration)
	f.o.Progress = p.show
	// An interrupt ends the measuring, and what was measured is printed.
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	defer context.AfterFunc(ctx, stop)() // so that a second one ends it at once
	r, err := load.MQTT(ctx, f.o)
	p.clear()
	refusal, refused := errors.AsType[load.MQTTRefusal](err)
	switch {
	case refused && refusal.Identity() && f.o.User == "":
		return failed{fmt.Errorf("%w; say who you are with --user and --password-file", err)}
	case errors.Is(err, context.Canceled), err == nil && f.o.Publishers > 0 && r.Elapsed == 0:
		return failed{errors.New("interrupted before measuring began")}
	case err != nil:
		return failed{err}
	}
	f.report(cmd.OutOrStdout(), r)
	switch missing := r.Lost + r.Unacked; {
	case f.o.QoS > 0 && missing > 0:
		return failed{fmt.Errorf("%d deliveries and %d acknowledgements of QoS %d never came", r.Lost, r.Unacked, f.o.QoS)}
	case r.Repeated > 0:
		return failed{fmt.Errorf("%d messages came again or out of order, on connections that were never broken", r.Repeated)}
	case f.o.Publishers > 0 && r.Sent == 0:
		return failed{errors.New("no message was sent: nothing that was under way came to its end")}
	case r.Ending != nil:
		return failed{r.Ending}
	}
	return nil
}

// check fills in what follows from other flags and reports what is wrong with them.
func (f *benchMQTTFlags) check(cmd *cobra.Command) error {
	o := &f.o
	for name, n := range map[string]*int{"publishers": &o.Publishers, "subscribers": &o.Subscribers} {
		if o.Connections > 0 && !cmd.Flags().Changed(name) {
			*n = 0
		}
	}
	if err := f.password(); err != nil {
		return err
	}
	for _, n := range []struct {
		flag        string
		value       int
		least, most int
	}{
		{"publishers", o.Publishers, 0, load.MaxConns}, {"subscribers", o.Subscribers, 0, load.MaxConns},
		{"connections", o.Connections, 0, load.MaxConns}, {"offline", o.Offline, 0, load.MaxConns},
		{"stalled", o.Stalled, 0, o.Subscribers}, {"qos", o.QoS, 0, 2}, {"version", o.Version, 4, 5},
		{"size", o.Size, 8, load.MaxReply}, {"inflight", o.Inflight, 1, 65535},
	} {
		if n.value < n.least || n.value > n.most {
			return fmt.Errorf("--%s: %d is not a number from %d to %d", n.flag, n.value, n.least, n.most)
		}
	}
	switch {
	case !(o.Rate >= 0 && o.Rate <= load.MaxRate):
		return fmt.Errorf("--rate: %v is not a number from 0, which means as many as --inflight allows, to %d", o.Rate, load.MaxRate)
	case o.Duration <= 0:
		return fmt.Errorf("--duration: %v must be above zero", o.Duration)
	case o.Warmup < 0:
		return fmt.Errorf("--warmup: %v is negative", o.Warmup)
	case o.Settle < 0:
		return fmt.Errorf("--settle: %v is negative", o.Settle)
	case o.Away < 0:
		return fmt.Errorf("--away: %v is negative", o.Away)
	case o.PID < 0:
		return fmt.Errorf("--pid: %d is negative; give the number of a process", o.PID)
	case o.Storm && o.Publishers > 0 && o.Rate == 0:
		return errors.New("--storm needs --rate where there are publishers: what they send must not be what is slow")
	}
	if o.PID > 0 {
		if _, err := load.CPUTime(o.PID); err != nil {
			return fmt.Errorf("--pid: %w", err)
		}
	}
	return o.Check()
}

// password reads the password.
func (f *benchMQTTFlags) password() error {
	if f.passwordFile == "" {
		if f.o.User != "" {
			return errors.New("--user needs --password-file: a password on the command line could be read by others")
		}
		return nil
	}
	secret, err := os.ReadFile(f.passwordFile)
	if err != nil {
		return fmt.Errorf("reading the password (--password-file): %w", err)
	}
	f.o.Password = []byte(strings.TrimRight(string(secret), "\r\n"))
	return nil
}

// report prints what was measured.
func (f *benchMQTTFlags) report(w io.Writer, r *load.MQTTResult) {
	o := &f.o
	var parties []string
	for _, p := range []struct {
		n         int
		one, more string
	}{
		{o.Publishers, "publisher", "publishers"}, {o.Subscribers, "subscriber", "subscribers"},
		{o.Connections, "idle connection", "idle connections"}, {o.Offline, "offline session", "offline sessions"},
	} {
		if p.n > 0 {
			parties = append(parties, plural(p.n, p.one, p.more))
		}
	}
	version := map[int]string{4: "3.1.1", 5: "5.0"}[o.Version]
	fmt.Fprintf(w, "mqtt %s: MQTT %s, %s\n", o.URL, version, strings.Join(parties, ", "))
	fmt.Fprintf(w, "  connected   after %v\n", load.Round(r.Connecting))
	if o.Publishers > 0 {
		f.reportFlow(w, r)
	}
	if o.Storm {
		s := &r.Storm
		fmt.Fprintf(w, "  storm       all back after %v; p50 %v, p99 %v; %d attempts were refused\n",
			load.Round(s.All), load.Round(s.Back.Quantile(0.5)), load.Round(s.Back.Quantile(0.99)), s.Retries)
		if s.Latency.Count() > 0 {
			fmt.Fprintf(w, "  meanwhile   %s, from publishing to delivery between those that stayed\n", quantiles(&s.Latency))
		}
	}
	if m := r.Memory; o.PID > 0 {
		fmt.Fprintf(w, "  memory      %d KiB before, %d KiB connected", m.Before>>10, m.Connected>>10)
		if o.Connections > 0 && o.Settle > 0 {
			fmt.Fprintf(w, " (%.0f B for each of the connections)", m.PerSession(o.Publishers+o.Subscribers+o.Connections+o.Offline))
		}
		fmt.Fprintf(w, ", %d KiB at the end (process %d)\n", m.After>>10, o.PID)
	}
}

func (f *benchMQTTFlags) reportFlow(w io.Writer, r *load.MQTTResult) {
	o := &f.o
	loop := fmt.Sprintf("%d under way each", o.Inflight)
	if o.Rate > 0 {
		loop = fmt.Sprintf("%.0f per second", o.Rate)
	}
	seconds := r.Elapsed.Seconds()
	fmt.Fprintf(w, "  load        QoS %d, %d B, %s, %v\n", o.QoS, o.Size, loop, load.Round(r.Elapsed))
	fmt.Fprintf(w, "  in          %.0f messages/s", float64(r.Sent)/seconds)
	if o.QoS > 0 {
		fmt.Fprintf(w, ", acknowledged after %s", quantiles(&r.Ack))
	}
	fmt.Fprintln(w)
	if o.Subscribers > 0 {
		fmt.Fprintf(w, "  out         %.0f messages/s", float64(r.Delivered)/seconds)
		if r.Latency.Count() > 0 {
			fmt.Fprintf(w, ", delivered after %s", quantiles(&r.Latency))
		}
		fmt.Fprintf(w, "\n  lost        %d; repeated %d\n", r.Lost, r.Repeated)
	}
	if o.Stalled > 0 {
		fmt.Fprintf(w, "  stalled     %s; the server closed %d\n", plural(o.Stalled, "subscriber", "subscribers"), r.StalledClosed)
	}
	if r.Late > 0 {
		fmt.Fprintf(w, "  late        %d left more than 1ms late because bench itself did not keep up\n", r.Late)
	}
	if o.PID > 0 {
		fmt.Fprintf(w, "  server CPU  %v per message, %.0f messages per CPU second, %.0f %% of one CPU\n",
			load.Round(r.CPUPerMessage()), r.PerCPUSecond(), 100*r.CPU.Seconds()/seconds)
	}
}

func quantiles(h *load.Histogram) string {
	return fmt.Sprintf("p50 %v, p99 %v, max %v", load.Round(h.Quantile(0.5)), load.Round(h.Quantile(0.99)), load.Round(h.Max()))
}
