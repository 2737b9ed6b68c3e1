package pebblestore

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/spate-io/spate/store"
)

// CheckBackup reads to its end what Snapshot wrote, and verifies it as [Restore] does, without keeping anything. The error is an [ErrBackup] if it
// is damaged or cut short, and a [store.ErrFormat] if this version of Spate cannot restore it. It needs memory for one chunk.
// Lost, if it is set, is told of each place that was left out because it could not be read when the backup was made.
func CheckBackup(ctx context.Context, in io.Reader, lost func(*store.CorruptError)) error {
	r := &snapshotReader{r: bufio.NewReaderSize(in, snapshotChunk)}
	if err := r.begin(); err != nil {
		return err
	}
	versions := 0
	err := r.each(func(entries []byte) error {
		n, err := checkEntries(entries, lost)
		versions += n
		if err != nil {
			return err
		}
		return ctx.Err()
	})
	if err == nil && versions != 1 {
		err = fmt.Errorf("%w: it has no version", ErrBackup)
	}
	return err
}

// checkEntries verifies the entries of a chunk, and returns how many of them are a version.
func checkEntries(entries []byte, lost func(*store.CorruptError)) (versions int, err error) {
	for at := 0; at < len(entries); {
		key, ok := text(entries, &at)
		value, ok2 := text(entries, &at)
		if !ok || !ok2 || key == "" {
			return versions, fmt.Errorf("%w: an entry is cut short", ErrBackup)
		}
		switch key[0] {
		case kindVersion:
			versions++
			if len(value) != 4 || binary.BigEndian.Uint32([]byte(value)) != formatVersion {
				return versions, fmt.Errorf("%w: the backup is of a store of version %x, and this Spate knows %d", store.ErrFormat, value, formatVersion)
			}
		case kindLost:
			e, err := decodeLost([]byte(value))
			if err != nil {
				return versions, fmt.Errorf("%w: what it leaves out: %w", ErrBackup, err)
			}
			if lost != nil {
				lost(e)
			}
		case kindRecords:
			if err := verifyBlock([]byte(key), []byte(value)); err != nil {
				return versions, fmt.Errorf("%w: a record: %w", ErrBackup, err)
			}
		}
	}
	return versions, nil
}
