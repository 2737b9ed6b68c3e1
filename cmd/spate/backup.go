package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
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
	var b backupFlags
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Write everything that a node stores to a file, while it runs",
		Long: `Write everything that a node stores at this moment to FILE: streams, consumers and
state. The node goes on meanwhile. The backup is read again and verified before it
gets its name, so that FILE, if it is there, can be restored; one that is there
already is replaced then.

With --data, read the data directory of a node that does not run.

A record that is damaged ends it. With --skip-damaged such records are left out, as if
they had been removed, and a line says which: the stream, the partition, the offset,
and how many from there on.`,
		Example: `  spate backup "spate-$(date +%F).backup"
  spate backup spate.backup --data spate-data --skip-damaged`,
		Args: exactly(1),
		RunE: b.run,
	}
	b.add(cmd)
	cmd.Flags().StringVar(&b.data, "data", "", "read this `DIRECTORY` instead of asking a node")
	cmd.Flags().BoolVar(&b.skip, "skip-damaged", false, "leave out records that cannot be read, and say which")
	return cmd
}

// backupFlags are what `spate backup` is told.
type backupFlags struct {
	remote
	data string
	skip bool
}

func (b *backupFlags) run(cmd *cobra.Command, args []string) error {
	if err := errors.Join(oneSource(cmd, b.data), isFile(args[0])); err != nil {
		return err
	}
	if b.data != "" {
		return b.write(cmd, args[0], b.fromData)
	}
	c, err := b.open()
	if err != nil {
		return err
	}
	defer c.Close()
	r := client.Request{Method: http.MethodGet, Path: []string{"backup"}}
	if b.skip {
		r.Query = url.Values{"corrupt": {"skip"}}
	}
	return b.write(cmd, args[0], func(ctx context.Context, w io.Writer) error {
		return c.Read(ctx, r, func(from io.Reader) error {
			_, err := io.Copy(w, from)
			return err
		})
	})
}

// isFile refuses what cannot be the name of a backup, before all of it is written.
func isFile(path string) error {
	if path == "-" {
		return errors.New("a backup is verified before it gets its name, so it is not written to standard output: name a file (./- for one of that name)")
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return fmt.Errorf("%s is a directory: name the file to write, such as %s", path, filepath.Join(path, "spate.backup"))
	}
	return nil
}

// oneSource refuses a directory and a node at the same time.
func oneSource(cmd *cobra.Command, data string) error {
	if data != "" && cmd.Flags().Changed("server") {
		return errors.New("--data and --server name two things to read: give one of them")
	}
	return nil
}

// fromData writes a backup of a data directory.
func (b *backupFlags) fromData(ctx context.Context, w io.Writer) (err error) {
	s, err := openData(b.data)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	o := store.SnapshotOptions{}
	if b.skip {
		o.OnCorrupt = func(*store.CorruptError) {} // the backup says it
	}
	err = s.Snapshot(ctx, w, o)
	if _, damaged := errors.AsType[*store.CorruptError](err); damaged {
		return fmt.Errorf("%w. Leave such records out with --skip-damaged", err)
	}
	return err
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

// write writes to a file beside the one that is wanted, verifies it, and renames it.
func (b *backupFlags) write(cmd *cobra.Command, path string, from func(context.Context, io.Writer) error) error {
	ctx, stop := interruptible(cmd.Context())
	defer stop()
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".part-*")
	if err != nil {
		return fmt.Errorf("cannot write the backup: %w", err)
	}
	defer func() { _ = os.Remove(f.Name()) }() // there is none once it has got its name
	defer f.Close()
	status := newStatus(cmd.ErrOrStderr())
	done := backupDone{File: path}
	err = done.write(ctx, f, from, status)
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
	return done.print(cmd.OutOrStdout(), b.json)
}

// backupDone is what `spate backup` has done.
type backupDone struct {
	File    string         `json:"file"`
	Bytes   uint64         `json:"bytes"`
	Damaged []corruptPlace `json:"damaged,omitempty"` // left out
}

// write writes, syncs, and reads what it wrote.
func (d *backupDone) write(ctx context.Context, f *os.File, from func(context.Context, io.Writer) error, status *progress) error {
	out := &counted{Writer: f, status: status, what: "written"}
	if err := from(ctx, out); err != nil {
		return err
	}
	d.Bytes = out.n
	if err := f.Sync(); err != nil {
		return fmt.Errorf("writing the backup: %w", err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	seen := &counted{Writer: io.Discard, status: status, what: "verified"}
	err := pebblestore.CheckBackup(ctx, io.TeeReader(f, seen), func(e *store.CorruptError) {
		d.Damaged = append(d.Damaged, corruptPlace{e.Stream, e.Number, e.Offset, e.Records, e.Err.Error()})
	})
	if err != nil {
		return fmt.Errorf("the backup did not verify, and was removed: %w", err)
	}
	return nil
}

func (d *backupDone) print(w io.Writer, asJSON bool) error {
	if asJSON {
		text, err := json.Marshal(d)
		if err != nil {
			return err
		}
		return printJSON(w, text)
	}
	for i := range d.Damaged {
		if err := d.Damaged[i].print(w); err != nil {
			return err
		}
	}
	without := ""
	if len(d.Damaged) > 0 {
		without = ", without " + plural(len(d.Damaged), "place that is", "places that are") + " damaged"
	}
	_, err := fmt.Fprintf(w, "%s  %s, verified%s\n", safe(d.File), size(d.Bytes), without)
	return err
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
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "restore FILE --data DIRECTORY",
		Short: "Make the data directory of a node from a backup",
		Long: `Make a data directory that holds what the backup in FILE does, for a node to be
started with. DIRECTORY must hold no data. Everything is verified on the way; when
the backup is damaged, nothing is left behind. The FILE - is standard input.`,
		Example: "  spate restore spate-2026-01-31.backup --data spate-data && spate serve --data spate-data",
		Args:    exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if data == "" {
				return errors.New("say where to: --data names the data directory to make")
			}
			return restore(cmd, args[0], data, asJSON)
		},
	}
	cmd.Flags().StringVar(&data, "data", "", "the data `DIRECTORY` to make")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, for programs")
	return cmd
}

func restore(cmd *cobra.Command, path, data string, asJSON bool) error {
	from := cmd.InOrStdin()
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return fmt.Errorf("cannot read the backup: %w", err)
		}
		defer f.Close()
		from = f
	}
	dir := filepath.Join(data, storeDir)
	if names, err := os.ReadDir(dir); err == nil && len(names) > 0 {
		return fmt.Errorf("there is data in %s: name another directory, or move it away", data)
	}
	made, err := makeDir(data)
	if err != nil {
		return fmt.Errorf("cannot make the data directory: %w", err)
	}
	ctx, stop := interruptible(cmd.Context())
	defer stop()
	status := newStatus(cmd.ErrOrStderr())
	seen := &counted{Writer: io.Discard, status: status, what: "restored"}
	err = pebblestore.Restore(ctx, dir, io.TeeReader(from, seen), pebblestore.Options{})
	status.clear()
	if err != nil {
		for _, name := range made {
			err = errors.Join(err, os.Remove(name))
		}
		return failure(ctx, err)
	}
	if asJSON {
		text, err := json.Marshal(map[string]any{"data": data, "bytes": seen.n})
		if err != nil {
			return err
		}
		return printJSON(cmd.OutOrStdout(), text)
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s  %s, verified; spate serve --data %s\n", safe(data), size(seen.n), safe(data))
	return err
}

// makeDir makes a directory with those that it lies in, and returns those that it had to make, the innermost first.
func makeDir(path string) (made []string, err error) {
	for dir := filepath.Clean(path); ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			break
		}
		made = append(made, dir)
	}
	return made, os.MkdirAll(path, 0o700)
}
