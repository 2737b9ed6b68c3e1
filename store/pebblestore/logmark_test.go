package pebblestore

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/spate-io/spate/store"
)

// TestForgedMark publishes what looks like a mark, like a chunk that begins with one, and like a block of them: nothing of it is taken for one.
func TestForgedMark(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := mustOpen(t, Options{FS: fs})
	defer mustClose(t, s)
	for _, number := range []uint64{2, 4, 5} {
		mark := &durableMark{log: number, logSize: 1 << 40, manifest: 1, manifestSize: 1 << 40}
		batch := string(make([]byte, logBatchHead)) + string([]byte{logEntryData, byte(markSize)}) + string(mark.encode())
		chunk := func(kind byte) string {
			body := string([]byte{kind, byte(number), 0, 0, 0}) + batch
			sum := logChecksum([]byte(body))
			return string([]byte{byte(sum), byte(sum >> 8), byte(sum >> 16), byte(sum >> 24), byte(len(batch)), 0}) + body
		}
		mustCommit(t, s, textBatch(testPartition, string(mark.encode()), batch, chunk(5), strings.Repeat(chunk(5), 2000)))
	}
	again := mustOpen(t, Options{FS: fs.CrashClone(vfs.CrashCloneCfg{})})
	defer mustClose(t, again)
	if got := texts(t, again, testPartition, 0, store.ReadOptions{}); len(got) != 12 {
		t.Errorf("%d records", len(got))
	}
}

// TestMarks closes a store, and finds the log and the manifest marked to their ends.
func TestMarks(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := mustOpen(t, Options{FS: fs})
	mustCommit(t, s, textBatch(testPartition, "a"))
	mustClose(t, s)
	sound, durable := map[numbered]uint64{}, map[numbered]uint64{}
	for _, path := range append(files(t, fs, ".log"), manifest(t, fs)) {
		file, ok := parseName(fs.PathBase(path))
		if !ok {
			t.Fatal(path)
		}
		sound[file] = scanLog(contents(t, fs, path), uint32(file.number), durable)
	}
	for file, size := range sound {
		if marked := durable[file]; marked == 0 || marked > size || file.manifest && marked != size {
			t.Errorf("%v is sound up to %d, and marked up to %d", file, size, marked)
		}
	}
}

// manifest returns the path of the newest manifest.
func manifest(t testing.TB, fs vfs.FS) (path string) {
	t.Helper()
	names, err := fs.List("data")
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	for _, name := range names {
		if strings.HasPrefix(name, "MANIFEST-") {
			path = fs.PathJoin("data", name)
		}
	}
	return path
}

// TestDamagedManifest cuts the newest manifest at every byte, and flips a bit of each: either all is there, or Open says that it is damaged, and has
// removed nothing.
func TestDamagedManifest(t *testing.T) {
	fs := vfs.NewCrashableMem()
	const n = 1000
	written(t, fs, n)
	path := manifest(t, fs)
	sound, tables := contents(t, fs, path), len(files(t, fs, ".sst"))
	for at := range sound {
		flipped := bytes.Clone(sound)
		flipped[at] ^= 0x80
		for _, damaged := range [][]byte{sound[:at], flipped} {
			image := fs.CrashClone(vfs.CrashCloneCfg{})
			replace(t, image, path, damaged)
			s, err := Open("data", Options{FS: image})
			if err != nil {
				if got := len(files(t, image, ".sst")); got != tables {
					t.Fatalf("byte %d: %d of %d tables are left after %v", at, got, tables, err)
				}
				continue
			}
			if got := texts(t, s, testPartition, 0, store.ReadOptions{}); len(got) != n {
				t.Fatalf("byte %d: %d of %d records are there", at, len(got), n)
			}
			mustClose(t, s)
		}
	}
}

// FuzzScanLog finds the end of a log whatever stands in it, also what cannot be.
func FuzzScanLog(f *testing.F) {
	fs := vfs.NewMem()
	written(f, fs, 300)
	for _, path := range append(files(f, fs, ".log"), manifest(f, fs)) {
		file, ok := parseName(fs.PathBase(path))
		if !ok {
			f.Fatal(path)
		}
		data := contents(f, fs, path)
		f.Add(data[:min(len(data), 80<<10)], uint32(file.number))
	}
	f.Fuzz(func(t *testing.T, data []byte, number uint32) {
		durable := map[numbered]uint64{}
		if sound := scanLog(data, number, durable); sound > uint64(len(data)) {
			t.Errorf("%d of %d bytes are sound", sound, len(data))
		}
	})
}
