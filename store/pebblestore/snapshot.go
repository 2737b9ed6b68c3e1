package pebblestore

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/cockroachdb/pebble/v2"

	"github.com/spate-io/spate/store"
)

// The parts of the file that Snapshot writes. See doc.go.
const (
	snapshotMagic   = "SPATEBAK"
	snapshotVersion = 1
	snapshotChunk   = 256 << 10
	snapshotMost    = maxBatch + snapshotChunk // bytes of a chunk, since it ends with a whole entry
	snapshotTrailer = 8 + 8 + 4
)

// ErrBackup means that a file is no backup, or is damaged.
var ErrBackup = errors.New("the backup cannot be used")

// A snapshotWriter writes entries in chunks.
type snapshotWriter struct {
	w       *bufio.Writer
	chunk   []byte
	entries uint64
	bytes   uint64
	sums    uint32 // checksum of the checksums of all chunks
}

func (w *snapshotWriter) begin() error {
	head := binary.BigEndian.AppendUint32([]byte(snapshotMagic), snapshotVersion)
	_, err := w.w.Write(head)
	return err
}

func (w *snapshotWriter) add(key, value []byte) error {
	w.chunk = binary.AppendUvarint(w.chunk, uint64(len(key)))
	w.chunk = append(w.chunk, key...)
	w.chunk = binary.AppendUvarint(w.chunk, uint64(len(value)))
	w.chunk = append(w.chunk, value...)
	w.entries++
	w.bytes += uint64(len(key) + len(value))
	if len(w.chunk) < snapshotChunk {
		return nil
	}
	return w.flush()
}

// flush writes the chunk.
func (w *snapshotWriter) flush() error {
	if len(w.chunk) == 0 {
		return nil
	}
	var head [8]byte
	sum := crc32.Checksum(w.chunk, castagnoli)
	binary.BigEndian.PutUint32(head[:], uint32(len(w.chunk)))
	binary.BigEndian.PutUint32(head[4:], sum)
	w.sums = crc32.Update(w.sums, castagnoli, head[:])
	_, err := w.w.Write(head[:])
	if err == nil {
		_, err = w.w.Write(w.chunk)
	}
	w.chunk = w.chunk[:0]
	return err
}

// end writes the trailer, without which a backup is refused.
func (w *snapshotWriter) end() error {
	if err := w.flush(); err != nil {
		return err
	}
	trailer := binary.BigEndian.AppendUint32(nil, 0)
	trailer = binary.BigEndian.AppendUint64(trailer, w.entries)
	trailer = binary.BigEndian.AppendUint64(trailer, w.bytes)
	trailer = binary.BigEndian.AppendUint32(trailer, w.sums)
	trailer = binary.BigEndian.AppendUint32(trailer, crc32.Checksum(trailer, castagnoli))
	if _, err := w.w.Write(trailer); err != nil {
		return err
	}
	return w.w.Flush()
}

// Snapshot implements [store.Store]. It holds what was committed when it was called, and perhaps what was being
// committed. Close ends it with [store.ErrClosed].
func (s *Store) Snapshot(ctx context.Context, out io.Writer, o store.SnapshotOptions) error {
	release, err := s.use(ctx)
	if err != nil {
		return err
	}
	defer release()
	snapshot := s.db.NewSnapshot()
	err = s.durable(ctx)
	if err == nil {
		err = s.writeSnapshot(ctx, snapshot, out, o)
	}
	if err = errors.Join(err, snapshot.Close()); err != nil {
		return fmt.Errorf("writing a backup of the store in %s: %w", s.dir, err)
	}
	return nil
}

// durable waits until all that was applied is durable, so that no backup holds what a loss of power takes back.
func (s *Store) durable(ctx context.Context) error {
	return store.Commit(ctx, s, &store.Batch{})
}

// writeSnapshot writes the records partition by partition, and all else as it is.
func (s *Store) writeSnapshot(ctx context.Context, snapshot *pebble.Snapshot, out io.Writer, o store.SnapshotOptions) error {
	w := &snapshotWriter{w: bufio.NewWriterSize(out, snapshotChunk)}
	if err := w.begin(); err != nil {
		return err
	}
	partitions, err := partitionsOf(snapshot)
	if err != nil {
		return fmt.Errorf("the description of its streams: %w", err)
	}
	for _, v := range partitions {
		v.store, v.from, v.to, v.tell = s, snapshot, w, o.OnCorrupt
		if err := v.run(ctx); err != nil {
			return err
		}
	}
	for _, r := range [...][2][]byte{{nil, {kindPartition}}, {{kindPartition + 1}, {kindRecords}}, {{kindRecords + 1}, nil}} {
		err := eachEntry(snapshot, r[0], r[1], func(key, value []byte) error {
			return errors.Join(s.interrupted(ctx), w.add(key, value))
		})
		if err != nil {
			return err
		}
	}
	return w.end()
}

// interrupted says why a snapshot has to end now.
func (s *Store) interrupted(ctx context.Context) error {
	if s.leaving.Load() { // Close waits for us
		return store.ErrClosed
	}
	return ctx.Err()
}
