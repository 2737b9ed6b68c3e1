package pebblestore

import (
	"bytes"
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/spate-io/spate/store"
)

// A backup is verified as it would be when it is restored: whatever byte is damaged, and wherever it is cut short.
func TestCheckBackup(t *testing.T) {
	s := mustOpen(t, Options{FS: vfs.NewMem()})
	for i := range 3 {
		mustCommit(t, s, textBatch(testPartition, known(i)))
	}
	mustCommit(t, s, &store.Batch{Puts: []store.Put{{Key: "k", Data: []byte("v")}}})
	var out bytes.Buffer
	if err := s.Snapshot(t.Context(), &out, store.SnapshotOptions{}); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	whole := out.Bytes()
	if err := CheckBackup(t.Context(), bytes.NewReader(whole), nil); err != nil {
		t.Fatal(err)
	}
	for at := range whole {
		damaged := bytes.Clone(whole)
		damaged[at] ^= 0x10
		if err := CheckBackup(t.Context(), bytes.NewReader(damaged), nil); !errors.Is(err, ErrBackup) && !errors.Is(err, store.ErrFormat) {
			t.Errorf("byte %d is damaged: %v", at, err)
		}
		if err := CheckBackup(t.Context(), bytes.NewReader(whole[:at]), nil); !errors.Is(err, ErrBackup) {
			t.Errorf("cut short at %d: %v", at, err)
		}
	}
	if err := CheckBackup(t.Context(), bytes.NewReader(append(bytes.Clone(whole), 0)), nil); !errors.Is(err, ErrBackup) {
		t.Errorf("something follows: %v", err)
	}
}
