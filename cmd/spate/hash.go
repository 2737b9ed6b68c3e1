package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spate-io/spate/auth"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

func newHashCommand() *cobra.Command {
	scram, iterations := false, auth.SCRAMIterations
	cmd := &cobra.Command{
		Use:   "hash-password",
		Short: "Make the hash of a password for the configuration",
		Long: `Ask for a password, twice and without showing it, or read it from the first line
of standard input when that is not a terminal, and print its argon2id hash for
auth.users[].password, or with --scram a verifier for auth.users[].scram. A
password is never an argument: other users of the machine could read it there.`,
		Example: `  spate hash-password
  spate hash-password --scram
  pass show spate/anna | spate hash-password`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return errors.New("a password on the command line can be read by others: leave it out, and type it or pipe it in")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			password, err := readPassword(cmd.InOrStdin(), cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			var hash string
			switch {
			case scram:
				hash, err = auth.HashSCRAM(password, iterations)
			case cmd.Flags().Changed("iterations"):
				err = errors.New("--iterations is for --scram: give both or neither")
			default:
				hash, err = auth.HashPassword(password)
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), hash)
			return err
		},
	}
	cmd.Flags().BoolVar(&scram, "scram", scram, "make a verifier for logins by SCRAM-SHA-256")
	cmd.Flags().IntVar(&iterations, "iterations", iterations, "with --scram: how many a client computes for each login, 4096 to 1000000")
	return cmd
}

// maxLine bounds the line that a password is read from; auth accepts 1024 bytes.
const maxLine = 4096

func readPassword(in io.Reader, prompt io.Writer) (auth.Secret, error) {
	if f, ok := in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return askPassword(f, prompt)
	}
	line, err := bufio.NewReader(io.LimitReader(in, maxLine)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return auth.Secret{}, fmt.Errorf("reading the password: %w", err)
	}
	if len(line) == maxLine && !strings.HasSuffix(line, "\n") {
		return auth.Secret{}, fmt.Errorf("reading the password: it has %d bytes or more; at most 1024 are accepted", maxLine)
	}
	return auth.NewSecret(strings.TrimRight(line, "\r\n")), nil
}

func askPassword(f *os.File, prompt io.Writer) (auth.Secret, error) {
	var typed [2]auth.Secret
	for i, text := range []string{"Password: ", "Once more: "} {
		fmt.Fprint(prompt, text)
		b, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(prompt)
		if err != nil {
			return auth.Secret{}, fmt.Errorf("reading the password: %w", err)
		}
		typed[i] = auth.NewSecret(string(b))
	}
	if !typed[0].Equal(typed[1]) {
		return auth.Secret{}, errors.New("the two passwords differ: start again")
	}
	return typed[0], nil
}
