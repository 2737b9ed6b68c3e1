package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/spate-io/spate/internal/client"
	"github.com/spate-io/spate/store"
	"github.com/spate-io/spate/store/pebblestore"
)

// storeDir is where the store is in the data directory of a node.
const storeDir = "store"

func newBackupCommand() *cobra.Command {
	var r remote
	var data string
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Write everything that a node stores to a file, while it runs",
		Long: `Write everything that a node stores at this moment to FILE: streams, consumers and
state. The node goes on meanwhile. The backup is read again and verified before it
gets its name, so that FILE, if it is there, can be restored; one that is there
already is replaced then.

With --data, read the data directory of a node that does not run.`,
		Example: `  spate backup "spate-$(date +%F).backup"
  spate backup spate.backup --data spate-data`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			from := func(ctx context.Context, w io.Writer) error { return backupData(ctx, data, w) }
			if err := oneSource(cmd, data); err != nil {
				return err
			}
			if data == "" {
				c, err := r.open()
				if err != nil {
					return err
				}
				defer c.Close()
				from = func(ctx context.Context, w io.Writer) error {
					return c.Read(ctx, client.Request{Method: http.MethodGet, Path: []string{"backup"}}, func(from io.Reader) error {
						_, err := io.Copy(w, from)
						return err
					})
				}
			}
			return backup(cmd, args[0], from, r.json)
		},
	}
	r.add(cmd)
	cmd.Flags().StringVar(&data, "data", "", "read this `DIRECTORY` instead of asking a node")
	return cmd
}

// oneSource refuses a directory and a node at the same time.
func oneSource(cmd *cobra.Command, data string) error {
	if data != "" && cmd.Flags().Changed("server") {
		return errors.New("--data and --server name two things to read: give one of them")
	}
	return nil
}

// backupData writes a backup of a data directory.
func backupData(ctx context.Context, data string, w io.Writer) (err error) {
	s, err := openData(data)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return s.Snapshot(ctx, w)
}

// openData opens the store of a node that does not run.
func openData(data string) (*pebblestore.Store, error) {
	dir := filepath.Join(data, storeDir)
	if names, err := os.ReadDir(dir); err != nil || len(names) == 0 {
		return nil, misuse{fmt.Errorf("there is no data in %s: name the data directory of a node", data)}
	}
	s, err := pebblestore.Open(dir, pebblestore.Options{})
	if errors.Is(err, store.ErrInUse) {
		return nil, fmt.Errorf("a node is using %s: ask it, without --data, or stop it", data)
	}
	return s, err
}

// backup writes to a file beside the one that is wanted, verifies it, and renames it.
func backup(cmd *cobra.Command, path string, from func(context.Context, io.Writer) error, asJSON bool) error {
	ctx, stop := interruptible(cmd.Context())
	defer stop()
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".part-*")
	if err != nil {
		return fmt.Errorf("cannot write the backup: %w", err)
	}
	defer func() { _ = os.Remove(f.Name()) }() // there is none once it has got its name
	defer f.Close()
	status := newStatus(cmd.ErrOrStderr())
	n, err := writeBackup(ctx, f, from, status)
	status.clear()
	if err == nil {
		err = f.Close()
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return failure(ctx, err)
	}
	if asJSON {
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "{\"file\":%q,\"bytes\":%d}\n", path, n)
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s  %s, verified\n", safe(path), size(n))
	return err
}

// writeBackup writes, syncs, and reads what it wrote.
func writeBackup(ctx context.Context, f *os.File, from func(context.Context, io.Writer) error, status *progress) (uint64, error) {
	out := &counted{Writer: f, status: status, what: "written"}
	if err := from(ctx, out); err != nil {
		return out.n, err
	}
	if err := f.Sync(); err != nil {
		return out.n, fmt.Errorf("writing the backup: %w", err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return out.n, err
	}
	seen := &counted{Writer: io.Discard, status: status, what: "verified"}
	if err := pebblestore.CheckBackup(ctx, io.TeeReader(f, seen)); err != nil {
		return out.n, fmt.Errorf("the backup did not verify, and was removed: %w", err)
	}
	return out.n, nil
}

// syncDir makes a new name in a directory survive a loss of power.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func newRestoreCommand() *cobra.Command {
	var data string
	cmd := &cobra.Command{
		Use:   "restore FILE --data DIRECTORY",
		Short: "Make the data directory of a node from a backup",
		Long: `Make a data directory that holds what the backup in FILE does, for a node to be
started with. DIRECTORY must hold no data. Everything is verified on the way; when
the backup is damaged, nothing is left behind.`,
		Example: "  spate restore spate-2026-01-31.backup --data spate-data && spate serve --data spate-data",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if data == "" {
				return errors.New("say where to: --data names the data directory to make")
			}
			return restore(cmd, args[0], data)
		},
	}
	cmd.Flags().StringVar(&data, "data", "", "the data `DIRECTORY` to make")
	return cmd
}

func restore(cmd *cobra.Command, path, data string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("cannot read the backup: %w", err)
	}
	defer f.Close()
	dir := filepath.Join(data, storeDir)
	if names, err := os.ReadDir(dir); err == nil && len(names) > 0 {
		return fmt.Errorf("there is data in %s: name another directory, or move it away", data)
	}
	if err := os.MkdirAll(data, 0o700); err != nil {
		return fmt.Errorf("cannot make the data directory: %w", err)
	}
	ctx, stop := interruptible(cmd.Context())
	defer stop()
	status := newStatus(cmd.ErrOrStderr())
	seen := &counted{Writer: io.Discard, status: status, what: "restored"}
	err = pebblestore.Restore(ctx, dir, io.TeeReader(f, seen), pebblestore.Options{})
	status.clear()
	if err != nil {
		return failure(ctx, err)
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s  %s, verified; spate serve --data %s\n", safe(data), size(seen.n), safe(data))
	return err
}
