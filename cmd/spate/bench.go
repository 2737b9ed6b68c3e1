package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/spate-io/spate/internal/load"
)

// benchFlags are what `spate bench` is told.
type benchFlags struct {
	conns, size, pipeline int
	rate                  float64
	duration, warmup      time.Duration
	pid                   int
	tls, insecure         bool
	ca                    string

	command            string // resp only, like the rest
	user, passwordFile string
}

func newBenchCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Load a server and measure it",
		Long: `Bench loads a server, checks every reply, and prints throughput, latency and errors.

Without --rate each connection sends its next request when a reply arrives; a server that stalls is then asked less.
With --rate requests are due at fixed intervals and latency counts from when a request was due, so a stall shows in full.`,
		Args: noCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newBenchEchoCommand(), newBenchRESPCommand(), newBenchMQTTCommand())
	return cmd
}

func newBenchEchoCommand() *cobra.Command {
	var f benchFlags
	cmd := &cobra.Command{
		Use:   "echo [ADDR]",
		Short: "Send messages to an echo server and want them back",
		Long: `Sends messages to an echo server and verifies that the same bytes come back.
ADDR is host:port or unix:PATH; the default is 127.0.0.1:8080.`,
		Example: `  spate bench echo --conns 200 --duration 30s
  spate bench echo --rate 50000 --pid "$(pidof spate)"`,
		Args: arguments(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.run(cmd, "echo", addressOf(args, "127.0.0.1:8080"), load.Echo{Size: f.size})
		},
	}
	f.add(cmd)
	return cmd
}

func newBenchRESPCommand() *cobra.Command {
	var f benchFlags
	cmd := &cobra.Command{
		Use:   "resp [ADDR]",
		Short: "Send a command of the Redis protocol over and over",
		Long: `Sends a command of the Redis protocol over and over; a reply that is an error is counted as one.
ADDR is host:port or unix:PATH; the default is 127.0.0.1:6379.`,
		Example: `  spate bench resp --conns 50 --pipeline 16
  spate bench resp --command 'PUBLISH plant/line1 {}' --size 512`,
		Args: arguments(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			words := strings.Fields(f.command)
			if len(words) == 0 {
				return errors.New("--command is empty: give a command such as 'PING {}'")
			}
			return f.run(cmd, "resp", addressOf(args, "127.0.0.1:6379"), load.RESP{Command: words, Size: f.size})
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&f.command, "command", "PING {}", "`COMMAND` to send, where {} stands for --size bytes")
	cmd.Flags().StringVar(&f.user, "user", "", "`NAME` to authenticate as (default none)")
	cmd.Flags().StringVar(&f.passwordFile, "password-file", "", "`FILE` with the password to authenticate with")
	return cmd
}

// add adds the flags that both kinds have.
func (f *benchFlags) add(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.IntVar(&f.conns, "conns", 50, "connections")
	fs.IntVar(&f.size, "size", 64, "bytes of a message")
	fs.IntVar(&f.pipeline, "pipeline", 1, "requests under way at the same time on each connection")
	fs.Float64Var(&f.rate, "rate", 0, "`REQUESTS` per second over all connections; 0 means as many as are answered")
	fs.DurationVar(&f.duration, "duration", 10*time.Second, "how long to measure")
	fs.DurationVar(&f.warmup, "warmup", time.Second, "how long to load before measuring")
	fs.IntVar(&f.pid, "pid", 0, "`PROCESS` of the server, on this machine, whose CPU time is measured (Linux)")
	fs.BoolVar(&f.tls, "tls", false, "speak TLS")
	fs.StringVar(&f.ca, "ca", "", "`FILE` with the certificates to trust instead of the system's (implies --tls)")
	fs.BoolVar(&f.insecure, "insecure", false, "trust any certificate (implies --tls); for tests only")
}

func addressOf(args []string, otherwise string) string {
	if len(args) == 1 {
		return args[0]
	}
	return otherwise
}

// run loads the server and prints what came of it.
func (f *benchFlags) run(cmd *cobra.Command, kind, address string, work load.Work) error {
	if err := f.check(address); err != nil {
		return err
	}
	o, err := f.options(address, work)
	if err != nil {
		return err
	}
	p := newProgress(cmd.ErrOrStderr(), "requests", f.warmup, f.duration)
	o.Progress = p.show
	// An interrupt ends the measuring, and what was measured is printed.
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	r, err := load.Run(ctx, o)
	stop()
	p.clear()
	switch {
	case err != nil:
		return failed{f.hint(err)}
	case r.Elapsed == 0:
		return failed{errors.New("interrupted before measuring began")}
	}
	f.report(cmd.OutOrStdout(), kind, address, r)
	switch {
	case r.Errors > 0:
		return failed{fmt.Errorf("%d requests or connections failed; the first: %w", r.Errors, r.FirstError)}
	case r.Requests == 0:
		return failed{fmt.Errorf("no request was answered: %s takes connections and does not reply; does it speak %s, and does it run?", address, kind)}
	}
	return nil
}

func (f *benchFlags) options(address string, work load.Work) (load.Options, error) {
	o := load.Options{
		Network: "tcp", Address: address, Work: work, Conns: f.conns, Pipeline: f.pipeline,
		Rate: f.rate, Warmup: f.warmup, Duration: f.duration, PID: f.pid,
	}
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		o.Network, o.Address = "unix", path
	}
	var err error
	if o.TLS, err = f.tlsConfig(o.Address); err != nil {
		return o, err
	}
	o.Prepare, err = f.login()
	return o, err
}

// tlsConfig returns nil without TLS.
func (f *benchFlags) tlsConfig(address string) (*tls.Config, error) {
	if !f.tls && f.ca == "" && !f.insecure {
		return nil, nil
	}
	c := &tls.Config{InsecureSkipVerify: f.insecure} //nolint:gosec // only with the flag that says so
	if host, _, err := net.SplitHostPort(address); err == nil {
		c.ServerName = host
	}
	if f.ca == "" {
		return c, nil
	}
	pem, err := os.ReadFile(f.ca)
	if err != nil {
		return nil, fmt.Errorf("reading the certificates to trust (--ca): %w", err)
	}
	c.RootCAs = x509.NewCertPool()
	if !c.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("no certificate in %s (--ca): it must hold PEM blocks", f.ca)
	}
	return c, nil
}

// login returns what authenticates a connection, or nil.
func (f *benchFlags) login() (func(int, net.Conn) error, error) {
	if f.passwordFile == "" {
		if f.user != "" {
			return nil, errors.New("--user needs --password-file: a password on the command line could be read by others")
		}
		return nil, nil
	}
	secret, err := os.ReadFile(f.passwordFile)
	if err != nil {
		return nil, fmt.Errorf("reading the password (--password-file): %w", err)
	}
	auth := []string{"AUTH"}
	if f.user != "" {
		auth = append(auth, f.user)
	}
	auth = append(auth, strings.TrimRight(string(secret), "\r\n"))
	return func(_ int, c net.Conn) error { return load.Ask(c, auth) }, nil
}
