package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spate-io/spate/server"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"
)

// A setting is a flag that sets a key of the configuration.
type setting struct{ flag, key string }

// settings are the flags of serve and check; `spate check` shows what they lead to.
func settings() []setting {
	return []setting{
		{"listen", "listen"}, {"data", "data"}, {"engine", "engine"}, {"drain-timeout", "drain_timeout"},
		{"tls-cert", "tls.cert"}, {"tls-key", "tls.key"}, {"tls-client-ca", "tls.client_ca"},
		{"log-level", "log.level"}, {"log-format", "log.format"}, {"pprof", "http.pprof"},
	}
}

// addSettings declares the flags. Their defaults stand in the help only: what a
// flag does not say, the environment, the file or the default does.
func addSettings(flags *pflag.FlagSet) {
	flags.StringP("config", "c", "", "read a YAML `FILE`; SPATE_… variables win over it, and flags over both")
	flags.StringArrayP("listen", "l", nil, "listen at `URL`: echo, resp, mqtt, ws or http, with +tls or +unix; may be repeated (default resp://127.0.0.1:6379, mqtt://127.0.0.1:1883 and http://127.0.0.1:8080)")
	flags.String("data", "", "the directory of the node, which a second one cannot use")
	flags.String("engine", "", "how to wait for sockets, epoll or net (default epoll on Linux, net elsewhere)")
	flags.Duration("drain-timeout", 0, "how long a shutdown waits for requests to finish (default 10s)")
	flags.String("tls-cert", "", "certificate `FILE` for +tls listeners, read again on SIGHUP")
	flags.String("tls-key", "", "key `FILE` for it")
	flags.String("tls-client-ca", "", "`FILE` of the authorities whose client certificates are verified")
	flags.String("log-level", "", "debug, info, warn or error (default info)")
	flags.String("log-format", "", "text, json or auto: text on a terminal (default auto)")
	flags.Bool("pprof", false, "serve Go's profiles under /debug/pprof/")
}

// sources are what the flags and the environment say.
func sources(flags *pflag.FlagSet) server.Sources {
	from := server.Sources{Environ: environ(), File: os.Getenv(server.ConfigVariable)}
	if f := flags.Lookup("config"); f != nil && f.Changed {
		from.File = f.Value.String()
	}
	for _, s := range settings() {
		f := flags.Lookup(s.flag)
		if f == nil || !f.Changed {
			continue
		}
		values := []string{f.Value.String()}
		if list, ok := f.Value.(pflag.SliceValue); ok {
			values = list.GetSlice()
		}
		from.Flags = append(from.Flags, server.Flag{Name: "--" + s.flag, Key: s.key, Values: values})
	}
	return from
}

// environ is the environment without the variable that is for the other commands.
func environ() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, serverVariable+"=") })
}

func newServeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run a node",
		Long: `Run a node until SIGTERM or SIGINT, which finishes the requests under way; a
second signal ends it at once. SIGHUP reads the configuration again.

Exit codes: 0 everything was finished; 1 something failed while running, or a
shutdown cut something off; 2 the command line, the configuration or a listener
is wrong.

docs/config.md lists every key; docs/mqtt.md is for users of the MQTT broker.
Traces are exported when OTEL_EXPORTER_OTLP_ENDPOINT is set.`,
		Example: `  spate serve
  spate serve --listen resp://127.0.0.1:7000 --listen http+unix:///run/spate.sock
  spate serve --config spate.yaml`,
		Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return serve(cmd, sources(cmd.Flags()))
		},
	}
	addSettings(cmd.Flags())
	return cmd
}

// serve is the life of a node: load, open, tell, run.
func serve(cmd *cobra.Command, from server.Sources) error {
	settings, err := server.Load(from)
	if err != nil {
		return err
	}
	signals := catchSignals()
	defer signals.stop()
	tracer, err := newTracer(cmd.Context())
	if err != nil {
		return err
	}
	node, err := server.New(settings, server.Options{
		Sources: from, Log: cmd.ErrOrStderr(), Terminal: isTerminal(cmd.ErrOrStderr()), Tracer: tracer.Tracer,
		Version: version(),
	})
	if err != nil && cmd.Name() == "serve" {
		return otherPorts(err, settings.Listen)
	}
	if err != nil {
		return err
	}
	tracer.report(node.Logger())
	defer tracer.flush(node.Logger())
	if err := node.Banner(cmd.OutOrStdout(), version()); err != nil {
		return failed{fmt.Errorf("saying what is listened on: %w", err)}
	}
	cutOff := func() {
		node.Logger().Error("second signal: ending at once; connections are cut off", "connections", node.App().Connections())
	}
	if err := signals.rule(cmd.Context(), node.Run, node.Reload, cutOff); err != nil {
		return failed{err}
	}
	return nil
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func newEchoCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "echo [ADDR]",
		Short: "Serve the smallest protocol alone: bytes in, the same bytes out",
		Long: `Answer each connection with its own bytes, on ADDR (default 127.0.0.1:8080).
Echo asks nobody who they are: an address that other machines can reach needs
--insecure.`,
		Args: arguments(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			addr := "127.0.0.1:8080"
			if len(args) == 1 {
				addr = args[0]
			}
			return serveEcho(cmd, addr)
		},
	}
	cmd.Flags().String("engine", "", "how to wait for sockets, epoll or net (default epoll on Linux, net elsewhere)")
	cmd.Flags().String("log-level", "", "debug, info, warn or error (default info)")
	cmd.Flags().Bool("insecure", false, "allow an address that other machines can reach")
	return cmd
}

// serveEcho serves one echo listener. Variables and files of a node are not read.
func serveEcho(cmd *cobra.Command, addr string) error {
	from := sources(cmd.Flags())
	from.Environ, from.File = nil, ""
	insecure, err := cmd.Flags().GetBool("insecure")
	if err != nil {
		return err
	}
	listen := fmt.Sprintf("[{url: %q, insecure: %t}]", "echo://"+addr, insecure)
	from.Flags = append(from.Flags, server.Flag{Key: "listen", Values: []string{listen}})
	err = serve(cmd, from)
	if err != nil && !insecure {
		// What is a key of the configuration for others is a flag here.
		if text := strings.ReplaceAll(err.Error(), "say insecure: true for this listener", "say --insecure"); text != err.Error() {
			return errors.New(text)
		}
	}
	return err
}
