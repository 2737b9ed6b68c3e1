package pebblestore

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/spate-io/spate/store"
)

// A tailFile counts what it is given, and fails as a full or a broken disk does.
type tailFile struct {
	vfs.File
	size int64
	err  error
	each int // calls of WriteAt
}

func (f *tailFile) Stat() (vfs.FileInfo, error) { return nil, syscall.ENOENT }

func (f *tailFile) WriteAt(p []byte, at int64) (int, error) {
	f.each++
	if f.err != nil {
		return 0, f.err
	}
	if !bytes.Equal(p, make([]byte, len(p))) {
		panic("not zeros")
	}
	f.size = max(f.size, at+int64(len(p)))
	return len(p), nil
}

func TestLogTail(t *testing.T) {
	t.Run("ahead", func(t *testing.T) {
		f := &tailFile{}
		tail := newLogTail(f, make([]byte, zeroAhead))
		for at := int64(0); at < 5*zeroAhead; at += 4096 {
			tail.wrote(f, 4096)
			tail.unsynced = 0 // an fdatasync
			if left := f.size - tail.at; left < zeroMargin || left > zeroMargin+zeroAhead {
				t.Fatalf("%d zeros are left at %d", left, tail.at)
			}
		}
		if f.each > 6 {
			t.Errorf("zeros were written %d times for 5 MiB", f.each)
		}
	})
	t.Run("large", func(t *testing.T) {
		f := &tailFile{}
		tail := newLogTail(f, make([]byte, zeroAhead))
		for range 64 {
			tail.wrote(f, 32<<10)
		}
		if f.each != 1+zeroMost/zeroAhead {
			t.Errorf("zeros were written %d times during one large group", f.each)
		}
	})
	t.Run("used again", func(t *testing.T) {
		f := &tailFile{}
		tail := &logTail{end: 8 << 20, zeros: make([]byte, zeroAhead)}
		for tail.at < 7<<20 {
			tail.unsynced = 0
			tail.wrote(f, 4096)
		}
		if f.each != 0 {
			t.Error("zeros were written where the file was long enough")
		}
	})
	t.Run("refused", func(t *testing.T) {
		f := &tailFile{err: syscall.ENOSPC}
		tail := newLogTail(f, make([]byte, zeroAhead))
		tail.wrote(f, 10)
		tail.wrote(f, 10)
		if f.each != 1 {
			t.Errorf("a full disk was asked %d times", f.each)
		}
	})
}

// TestLogEndsWithZeros opens what a killed process leaves behind: a log that goes on with zeros after the last commit.
func TestLogEndsWithZeros(t *testing.T) {
	dir, image := t.TempDir(), t.TempDir()
	s, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer mustClose(t, s)
	mustCommit(t, s, textBatch(testPartition, "a", "b", "c"))
	if err := os.CopyFS(image, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	logs, err := filepath.Glob(filepath.Join(image, "*.log"))
	if err != nil || len(logs) == 0 {
		t.Fatal(logs, err)
	}
	data, err := os.ReadFile(logs[len(logs)-1])
	if err != nil || len(data) < zeroAhead || !bytes.HasSuffix(data, make([]byte, zeroAhead-zeroMargin)) {
		t.Errorf("the log has %d bytes, %v", len(data), err)
	}
	again, err := Open(image, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer mustClose(t, again)
	records, err := again.Read(t.Context(), store.Position{Partition: testPartition}, store.ReadOptions{})
	if err != nil || len(records) != 3 {
		t.Errorf("%d records, %v", len(records), err)
	}
}
