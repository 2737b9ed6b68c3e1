package pebblestore

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/spate-io/spate/store"
)

// Restore makes a store in a directory, which must be empty or not exist, from what Snapshot wrote. Everything is verified on the way;
// if it is damaged or cut short, the error is an [ErrBackup]. After an error nothing is left, also no directory that was not there.
func Restore(ctx context.Context, dir string, r io.Reader, options Options) error {
	if err := restore(ctx, dir, r, options); err != nil {
		return fmt.Errorf("restoring a backup into %s: %w", dir, err)
	}
	return nil
}

func restore(ctx context.Context, dir string, in io.Reader, options Options) error {
	options = options.withDefaults()
	if names, err := options.FS.List(dir); err == nil && len(names) > 0 {
		return errors.New("the directory is not empty: name another one")
	}
	r := &snapshotReader{r: bufio.NewReaderSize(in, snapshotChunk)}
	if err := r.begin(); err != nil {
		return err
	}
	made := missing(dir, options.FS)
	s, err := open(dir, options)
	if err != nil {
		return errors.Join(err, clean(dir, made, options.FS))
	}
	var version []byte
	err = r.each(func(entries []byte) error {
		b := s.db.NewBatch()
		v, err := verifyEntries(b, entries)
		if err != nil {
			return errors.Join(err, b.Close())
		}
		if v != nil {
			version = v
		}
		if err := errors.Join(b.Commit(pebble.NoSync), s.queue.failure()); err != nil {
			return err
		}
		return ctx.Err()
	})
	if err == nil && version == nil {
		err = fmt.Errorf("%w: it has no version", ErrBackup)
	}
	if err == nil { // last, because without it a store is not opened
		err = errors.Join(s.db.Set([]byte{kindVersion}, version, pebble.Sync), s.queue.failure())
	}
	failed := s.queue.failure() != nil
	s.queue.close()
	if !failed {
		err = errors.Join(err, s.db.Close())
	}
	err = errors.Join(err, s.lock.Close())
	if err != nil {
		err = errors.Join(err, clean(dir, made, options.FS))
	}
	return err
}

// missing returns the directories that have to be made for dir, the innermost first.
func missing(dir string, fs vfs.FS) (made []string) {
	for {
		if _, err := fs.Stat(dir); err == nil || !errors.Is(err, os.ErrNotExist) {
			return made
		}
		made = append(made, dir)
		parent := fs.PathDir(dir)
		if parent == dir {
			return made
		}
		dir = parent
	}
}

// clean removes what a restore that failed leaves behind.
func clean(dir string, made []string, fs vfs.FS) error {
	names, err := fs.List(dir)
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	for _, name := range names {
		err = errors.Join(err, fs.RemoveAll(fs.PathJoin(dir, name)))
	}
	for _, name := range made {
		if e := fs.Remove(name); e != nil && !errors.Is(e, os.ErrNotExist) {
			return errors.Join(err, e)
		}
	}
	return err
}

// verifyEntries puts entries into a batch, after a check of their records, and returns the version if it is among them.
func verifyEntries(b *pebble.Batch, entries []byte) (version []byte, err error) {
	for at := 0; at < len(entries); {
		key, ok := text(entries, &at)
		value, ok2 := text(entries, &at)
		if !ok || !ok2 || key == "" {
			return nil, fmt.Errorf("%w: an entry is cut short", ErrBackup)
		}
		switch key[0] {
		case kindVersion:
			version = []byte(value)
			if len(version) != 4 || binary.BigEndian.Uint32(version) != formatVersion {
				return nil, fmt.Errorf("%w: the backup is of a store of version %x, and this Spate knows %d", store.ErrFormat, version, formatVersion)
			}
			continue
		case kindLost:
			continue
		case kindRecords:
			if err := verifyBlock([]byte(key), []byte(value)); err != nil {
				return nil, fmt.Errorf("%w: a record: %w", ErrBackup, err)
			}
		}
		must(b.Set([]byte(key), []byte(value), nil))
	}
	return version, nil
}

// verifyBlock checks the head and all records of a block.
func verifyBlock(key, value []byte) error {
	if len(key) != blockKeyLen {
		return errCut
	}
	id := logID{binary.BigEndian.Uint32(key[1:]), binary.BigEndian.Uint16(key[5:])}
	var r blockReader
	if err := r.open(id, blockFirst(key), value); err != nil {
		return err
	}
	for body := r.next(); body != nil; body = r.next() {
		if err := r.check(body); err != nil {
			return err
		}
	}
	return nil
}

// A snapshotReader reads what a snapshotWriter wrote.
type snapshotReader struct {
	r    *bufio.Reader
	sums uint32
}

func (r *snapshotReader) begin() error {
	head := make([]byte, len(snapshotMagic)+4)
	if _, err := io.ReadFull(r.r, head); err != nil || string(head[:len(snapshotMagic)]) != snapshotMagic {
		return fmt.Errorf("%w: the file is no backup of Spate", ErrBackup)
	}
	if v := binary.BigEndian.Uint32(head[len(snapshotMagic):]); v != snapshotVersion {
		return fmt.Errorf("%w: the file has version %d, and this Spate knows %d", ErrBackup, v, snapshotVersion)
	}
	return nil
}

// each calls yield with the entries of each chunk, and then checks the trailer.
func (r *snapshotReader) each(yield func([]byte) error) error {
	var entries, bytes uint64
	for {
		var head [8]byte
		if err := r.full(head[:4]); err != nil {
			return err
		}
		n := binary.BigEndian.Uint32(head[:])
		if n == 0 {
			return r.end(entries, bytes)
		}
		if n > snapshotMost {
			return fmt.Errorf("%w: it is damaged: a chunk has %d bytes", ErrBackup, n)
		}
		if err := r.full(head[4:]); err != nil {
			return err
		}
		chunk := make([]byte, n)
		if err := r.full(chunk); err != nil {
			return err
		}
		if crc32.Checksum(chunk, castagnoli) != binary.BigEndian.Uint32(head[4:]) {
			return fmt.Errorf("%w: it is damaged: a checksum does not match", ErrBackup)
		}
		r.sums = crc32.Update(r.sums, castagnoli, head[:])
		e, b := countEntries(chunk)
		entries, bytes = entries+e, bytes+b
		if err := yield(chunk); err != nil {
			return err
		}
	}
}

func countEntries(chunk []byte) (entries, bytes uint64) {
	for at := 0; at < len(chunk); entries++ {
		key, ok := text(chunk, &at)
		value, ok2 := text(chunk, &at)
		if !ok || !ok2 {
			break
		}
		bytes += uint64(len(key) + len(value))
	}
	return entries, bytes
}

// end checks the trailer behind its first four bytes, which are 0.
func (r *snapshotReader) end(entries, bytes uint64) error {
	trailer := make([]byte, 4+snapshotTrailer+crcLen)
	if err := r.full(trailer[4:]); err != nil {
		return err
	}
	body := trailer[:4+snapshotTrailer]
	if crc32.Checksum(body, castagnoli) != binary.BigEndian.Uint32(trailer[len(body):]) ||
		binary.BigEndian.Uint64(body[4:]) != entries || binary.BigEndian.Uint64(body[12:]) != bytes || binary.BigEndian.Uint32(body[20:]) != r.sums {
		return fmt.Errorf("%w: it is damaged: its end does not match what it holds", ErrBackup)
	}
	if _, err := r.r.ReadByte(); err != io.EOF {
		return fmt.Errorf("%w: something follows its end", ErrBackup)
	}
	return nil
}

func (r *snapshotReader) full(p []byte) error {
	if _, err := io.ReadFull(r.r, p); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return fmt.Errorf("%w: it is cut short", ErrBackup)
		}
		return err
	}
	return nil
}
