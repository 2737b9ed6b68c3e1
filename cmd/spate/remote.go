package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/spate-io/spate/internal/client"
)

// serverVariable names the node that the commands talk to. It is the command's, and no key of the configuration.
const serverVariable = "SPATE_SERVER"

const defaultServer = "http://127.0.0.1:8080"

// remote is the flags of a command that talks to a node.
type remote struct {
	server, user, passwordFile, tokenFile, ca string
	insecure, json                            bool
}

// add adds the flags. They are those of the command and of all below it.
func (r *remote) add(cmd *cobra.Command) {
	fs := cmd.PersistentFlags()
	fs.StringVar(&r.server, "server", "", "`URL` of the node (default "+serverVariable+", or "+defaultServer+")")
	fs.StringVar(&r.user, "user", "", "`NAME` to authenticate as")
	fs.StringVar(&r.passwordFile, "password-file", "", "`FILE` with the password, in its first line")
	fs.StringVar(&r.tokenFile, "token-file", "", "`FILE` with a bearer token, in its first line")
	fs.StringVar(&r.ca, "ca", "", "`FILE` with the certificates to trust instead of the system's")
	fs.BoolVar(&r.insecure, "insecure-skip-verify", false, "trust any certificate; for tests only")
	fs.BoolVar(&r.json, "json", false, "print JSON, for programs")
}

// open makes the client that the flags ask for.
func (r *remote) open() (*client.Client, error) {
	o := client.Options{Server: r.server, User: r.user}
	if o.Server == "" {
		o.Server = os.Getenv(serverVariable)
	}
	if o.Server == "" {
		o.Server = defaultServer
	}
	var err error
	switch {
	case r.user != "" && r.tokenFile != "":
		return nil, errors.New("--user and --token-file name two identities: give one of them")
	case (r.user == "") != (r.passwordFile == ""):
		return nil, errors.New("--user and --password-file go together: give both")
	case r.user != "":
		o.Password, err = secretFrom(r.passwordFile)
	case r.tokenFile != "":
		o.Token, err = secretFrom(r.tokenFile)
	}
	if err != nil {
		return nil, err
	}
	if o.TLS, err = r.trust(); err != nil {
		return nil, err
	}
	return client.New(o)
}

// secretFrom returns the first line of a file.
func secretFrom(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("cannot read the secret: %w", err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	line = strings.TrimRight(line, "\r")
	if line == "" {
		return "", fmt.Errorf("cannot read the secret: the first line of %s is empty", path)
	}
	return line, nil
}

func (r *remote) trust() (*tls.Config, error) {
	config := &tls.Config{InsecureSkipVerify: r.insecure} //nolint:gosec // only with the flag that says so
	if r.ca == "" {
		return config, nil
	}
	text, err := os.ReadFile(r.ca)
	if err != nil {
		return nil, fmt.Errorf("cannot read --ca: %w", err)
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("--ca: there is no certificate in %s", r.ca)
	}
	return config, nil
}

// call makes the client and does something with it, which a signal interrupts.
func (r *remote) call(cmd *cobra.Command, do func(context.Context, *client.Client) error) error {
	c, err := r.open()
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, stop := interruptible(cmd.Context())
	defer stop()
	if err := do(ctx, c); err != nil {
		return failure(ctx, err)
	}
	return nil
}

// get calls a path of the API and prints the answer, as it is or by show.
func (r *remote) get(cmd *cobra.Command, request client.Request, into any, show func(io.Writer) error) error {
	return r.call(cmd, func(ctx context.Context, c *client.Client) error {
		var text json.RawMessage
		if err := patiently(cmd, func() error { return c.Do(ctx, request, &text) }); err != nil {
			return err
		}
		if r.json {
			return printJSON(cmd.OutOrStdout(), text)
		}
		if into != nil {
			if err := json.Unmarshal(text, into); err != nil {
				return fmt.Errorf("the server does not answer as a node of Spate does: %w", err)
			}
		}
		return show(cmd.OutOrStdout())
	})
}

// patiently does something, and says on a terminal that it is waiting once that takes longer than a second.
func patiently(cmd *cobra.Command, do func() error) error {
	status := newStatus(cmd.ErrOrStderr())
	timer := time.AfterFunc(showAfter, func() { status.show(func() string { return "waiting for the node…" }) })
	err := do()
	timer.Stop()
	status.end()
	return err
}

// printJSON prints a value on one line; none if it is empty, as the answer to a removal is.
func printJSON(w io.Writer, text json.RawMessage) error {
	if len(text) == 0 {
		return nil
	}
	_, err := fmt.Fprintf(w, "%s\n", text)
	return err
}

// interruptible returns a context that SIGINT and SIGTERM end.
func interruptible(ctx context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
}

// failure is an error of the work, not of the command line; unless it already is one of the two, or the node says that what it was asked is wrong.
func failure(ctx context.Context, err error) error {
	if wrong, ok := errors.AsType[misuse](err); ok {
		return wrong.error
	}
	if _, ok := errors.AsType[failed](err); ok {
		return err
	}
	if ctx.Err() != nil {
		return failed{errors.New("interrupted")}
	}
	if p, ok := errors.AsType[*client.Problem](err); ok && p.Misuse() {
		return err
	}
	return failed{err}
}

// misuse is what the command line is to blame for, although it was found out late.
type misuse struct{ error }

// Unwrap returns what is wrong.
func (m misuse) Unwrap() error { return m.error }
