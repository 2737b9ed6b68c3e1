package pebblestore

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/store"
)

// written fills a store with n records, whose texts are their offsets and much that does not compress, in sstables, and closes it.
func written(t testing.TB, fs vfs.FS, n int) {
	t.Helper()
	s := mustOpen(t, Options{FS: fs, MemTableBytes: 256 << 10})
	for i := 0; i < n; i += 10 {
		b := &store.Batch{}
		for j := i; j < i+10; j++ {
			b.Appends = append(b.Appends, textBatch(testPartition, known(j)).Appends...)
		}
		mustCommit(t, s, b)
	}
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
}

// known is the text of a record.
func known(i int) string {
	data := make([]byte, 200)
	r := rand.New(rand.NewPCG(uint64(i), 1))
	for j := range data {
		data[j] = byte(r.Uint32())
	}
	return fmt.Sprint(i, " ") + string(data)
}

// files returns the files of a store whose names end so.
func files(t testing.TB, fs vfs.FS, suffix string) (all []string) {
	t.Helper()
	names, err := fs.List("data")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, suffix) {
			all = append(all, fs.PathJoin("data", name))
		}
	}
	return all
}

func contents(t testing.TB, fs vfs.FS, name string) []byte {
	t.Helper()
	f, err := fs.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, info.Size())
	if _, err := f.ReadAt(data, 0); err != nil && len(data) > 0 {
		t.Fatal(err)
	}
	return data
}

func replace(t testing.TB, fs vfs.FS, name string, data []byte) {
	t.Helper()
	f, err := fs.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(bytes.Clone(data)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

// flips is how many times TestFlippedTables flips a bit: each takes a second or two, see skipCorrupt.
var flips = flag.Int("flips", 4, "how many bits TestFlippedTables flips")

// TestFlippedTables flips a byte somewhere in an sstable. What is read is right, and what cannot be read is reported; with OnCorrupt, each record is either read or
// reported.
func TestFlippedTables(t *testing.T) {
	const n = 3000
	fs := vfs.NewMem()
	written(t, fs, n)
	tables := files(t, fs, ".sst")
	reported := 0
	for round := range *flips {
		name := tables[rand.IntN(len(tables))]
		sound := contents(t, fs, name)
		broken := bytes.Clone(sound)
		at := rand.IntN(len(broken))
		if round == 0 {
			at = len(broken) / 4 // records for certain
		}
		broken[at] ^= 1 << rand.IntN(8)
		replace(t, fs, name, broken)
		s, err := Open("data", Options{FS: fs})
		if err == nil {
			reported += checkDamaged(t, s, n)
			mustClose(t, s)
		}
		replace(t, fs, name, sound)
	}
	if reported == 0 {
		t.Error("no damage was found in all the rounds")
	}
}

// checkDamaged returns how many records were reported.
func checkDamaged(t *testing.T, s *Store, n int) (reported int) {
	t.Helper()
	seen, damaged := make([]bool, n), make([]bool, n)
	o := store.ReadOptions{Records: 100, OnCorrupt: func(e *store.CorruptError) {
		reported += int(e.Records)
		if text := e.Error(); strings.Contains(text, "\n") || strings.Count(text, "checksum") > 1 {
			t.Errorf("%q is no sentence", text)
		}
		for i := e.Offset; i < e.Offset+e.Records; i++ {
			seen[i], damaged[i] = true, true
		}
	}}
	for at := uint64(0); at < uint64(n); {
		records, err := s.Read(context.Background(), store.Position{Partition: testPartition, Offset: at}, o)
		if err != nil {
			t.Fatalf("reading on with OnCorrupt at %d: %v", at, err)
		}
		if len(records) == 0 {
			break
		}
		for _, r := range records {
			if string(r.Event.Data) != known(int(r.Offset)) {
				t.Fatalf("record %d is wrong", r.Offset)
			}
			seen[r.Offset], at = true, r.Offset+1
		}
	}
	for i, ok := range seen {
		if !ok {
			t.Fatalf("record %d was neither read nor reported", i)
		}
	}
	salvaged(t, s, damaged)
	_, err := readAll(s, n)
	var corrupt *store.CorruptError
	if (reported > 0) != errors.As(err, &corrupt) {
		t.Fatalf("%d records are damaged, and reading without OnCorrupt says %v", reported, err)
	}
	return reported
}

func readAll(s *Store, n int) (at uint64, err error) {
	for at < uint64(n) {
		records, err := s.Read(context.Background(), store.Position{Partition: testPartition, Offset: at}, store.ReadOptions{})
		if err != nil || len(records) == 0 {
			return at, err
		}
		at = records[len(records)-1].Offset + 1
	}
	return at, nil
}

// TestCutLog cuts the log somewhere, as a crash could: what is left is a prefix of whole batches.
func TestCutLog(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := mustOpen(t, Options{FS: fs})
	const n = 300
	for i := range n {
		b := textBatch(testPartition, fmt.Sprint(i))
		b.Appends = append(b.Appends, textBatch(store.Partition{Stream: "other"}, fmt.Sprint(i)).Appends...)
		mustCommit(t, s, b)
	}
	for range 40 {
		crashed := fs.CrashClone(vfs.CrashCloneCfg{})
		name := files(t, crashed, ".log")[0]
		data := contents(t, crashed, name)
		replace(t, crashed, name, data[:rand.IntN(len(data)+1)])
		again, err := Open("data", Options{FS: crashed})
		if errors.Is(err, store.ErrFormat) || err != nil {
			t.Fatalf("opening with a log that is cut: %v", err)
		}
		a, b := texts(t, again, testPartition, 0, store.ReadOptions{}), texts(t, again, store.Partition{Stream: "other"}, 0, store.ReadOptions{})
		if len(a) != len(b) {
			t.Errorf("%d and %d records of batches that had one of each", len(a), len(b))
		}
		for i, text := range a {
			if text != fmt.Sprint(i) || b[i] != text {
				t.Fatalf("record %d is %q and %q", i, text, b[i])
			}
		}
		mustClose(t, again)
	}
	mustClose(t, s)
}

// TestFlippedLog flips bits in the log of a killed process. What was on the disk before the last block was written is not lost in silence.
func TestFlippedLog(t *testing.T) {
	for _, each := range []int{1, 100, 700} {
		t.Run(fmt.Sprint(each, " records a group"), func(t *testing.T) { flipLog(t, each) })
	}
}

func flipLog(t *testing.T, each int) {
	fs := vfs.NewCrashableMem()
	s := mustOpen(t, Options{FS: fs})
	defer mustClose(t, s)
	const n = 2100
	for i := 0; i < n; i += each {
		var group []string
		for j := i; j < i+each; j++ {
			group = append(group, known(j))
		}
		mustCommit(t, s, textBatch(testPartition, group...))
	}
	mustCommit(t, s, textBatch(testPartition, known(n)))
	refused := 0
	for range 40 {
		crashed := fs.CrashClone(vfs.CrashCloneCfg{})
		name := files(t, crashed, ".log")[0]
		data := contents(t, crashed, name)
		size := len(bytes.TrimRight(data, "\x00")) // without the zeros that a logTail has written
		at := rand.IntN(size)
		data[at] ^= 1 << rand.IntN(8)
		replace(t, crashed, name, data)
		again, err := Open("data", Options{FS: crashed})
		if err != nil {
			refused++
			continue
		}
		lost := uint64(0) // and said to be
		got := texts(t, again, testPartition, 0, store.ReadOptions{OnCorrupt: func(e *store.CorruptError) { lost += e.Records }})
		for i, text := range got {
			if text != known(i) && lost == 0 {
				t.Fatalf("record %d is wrong", i)
			}
		}
		if len(got)+int(lost) <= n && at/logBlock < (size-1)/logBlock {
			t.Errorf("after a bit was flipped at %d of %d, %d records are gone in silence", at, size, n+1-len(got))
		}
		mustClose(t, again)
	}
	if refused == 0 {
		t.Error("no damage was found in all the rounds")
	}
}

// TestSecondOpener holds the lock against this process and another.
func TestSecondOpener(t *testing.T) {
	const variable = "SPATE_TEST_OPEN"
	if dir := os.Getenv(variable); dir != "" {
		if _, err := Open(dir, Options{}); errors.Is(err, store.ErrInUse) {
			fmt.Println("in use:", err)
		}
		return
	}
	dir := t.TempDir()
	s, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, Options{}); !errors.Is(err, store.ErrInUse) {
		t.Errorf("a second store in one process: %v", err)
	}
	child := exec.Command(os.Args[0], "-test.run=^TestSecondOpener$")
	child.Env = append(os.Environ(), variable+"="+dir)
	out, err := child.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("in use:")) {
		t.Errorf("another process: %v\n%s", err, out)
	}
	mustClose(t, s)
	if s, err = Open(dir, Options{}); err != nil {
		t.Fatalf("after closing: %v", err)
	}
	mustClose(t, s)
}

// TestUnknownVersion refuses what another version has written, and what was left by a restore that did not finish.
func TestUnknownVersion(t *testing.T) {
	for name, change := range map[string]func(db *pebble.DB) error{
		"newer": func(db *pebble.DB) error {
			return db.Set([]byte{kindVersion}, binary.BigEndian.AppendUint32(nil, formatVersion+1), pebble.Sync)
		},
		"none": func(db *pebble.DB) error { return db.Delete([]byte{kindVersion}, pebble.Sync) },
		"newer Pebble": func(db *pebble.DB) error {
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewMem()
			written(t, fs, 10)
			db, err := pebble.Open("data", &pebble.Options{FS: fs, Logger: quiet{}})
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(change(db), db.Close()); err != nil {
				t.Fatal(err)
			}
			if name == "newer Pebble" {
				marker := files(t, fs, fmt.Sprintf(".%03d", pebbleFormat))[0]
				if err := fs.Rename(marker, marker[:len(marker)-3]+"999"); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := Open("data", Options{FS: fs}); !errors.Is(err, store.ErrFormat) {
				t.Errorf("Open: %v", err)
			}
		})
	}
}

// TestDamagedBackup cuts a backup at many places, and flips a bit at many.
func TestDamagedBackup(t *testing.T) {
	fs := vfs.NewMem()
	written(t, fs, 50)
	s := mustOpen(t, Options{FS: fs})
	var backup bytes.Buffer
	if err := s.Snapshot(t.Context(), &backup, store.SnapshotOptions{}); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	refused := func(what string, data []byte) {
		t.Helper()
		fs := vfs.NewMem()
		err := Restore(t.Context(), "data", bytes.NewReader(data), Options{FS: fs})
		if err == nil || !errors.Is(err, ErrBackup) && !errors.Is(err, store.ErrFormat) {
			t.Fatalf("%s: %v", what, err)
		}
		if _, err := fs.Stat("data"); !errors.Is(err, os.ErrNotExist) {
			t.Fatalf("%s: it leaves its directory: %v", what, err)
		}
	}
	step := backup.Len()/50 + 1
	for n := 0; n < backup.Len(); n += step {
		refused(fmt.Sprintf("%d of %d bytes", n, backup.Len()), backup.Bytes()[:n])
	}
	refused("a byte less", backup.Bytes()[:backup.Len()-1])
	refused("a byte more", append(bytes.Clone(backup.Bytes()), 0))
	for n := 0; n < backup.Len(); n += step {
		broken := bytes.Clone(backup.Bytes())
		broken[n] ^= 16
		refused(fmt.Sprintf("a bit of byte %d", n), broken)
	}
	if err := Restore(t.Context(), "data", bytes.NewReader(backup.Bytes()), Options{FS: fs}); err == nil {
		t.Error("a directory that is not empty was taken")
	}
	if err := fs.MkdirAll("there/empty", 0o755); err != nil {
		t.Fatal(err)
	}
	for dir, left := range map[string]string{"there/empty": "empty", "there/empty/a/b": "empty", "not/there": ""} {
		if err := Restore(t.Context(), dir, bytes.NewReader(backup.Bytes()[:backup.Len()/2]), Options{FS: fs}); !errors.Is(err, ErrBackup) {
			t.Errorf("%s: %v", dir, err)
		}
		names, _ := fs.List("there")
		inside, _ := fs.List("there/empty")
		if _, err := fs.Stat("not"); left != "" && !slices.Equal(names, []string{left}) || len(inside) > 0 || !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: it leaves %v, %v, %v", dir, names, inside, err)
		}
	}
}

// FuzzBlock decodes arbitrary bytes, and encodes and decodes an arbitrary event.
func FuzzBlock(f *testing.F) {
	f.Add([]byte{blockVersion, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, "subject", "key", "name", "value", []byte("data"), int64(1), int64(0))
	f.Fuzz(func(t *testing.T, raw []byte, subject, key, name, value string, data []byte, seconds, nano int64) {
		id := logID{7, 3}
		decodeAnything(id, raw)
		e := &event.Event{ID: event.ID{1, 2}, Subject: subject, Key: key, Data: data, Headers: []event.Header{{Name: name, Value: value}}, Time: unix(seconds, nano)}
		var b blockBuilder
		b.start(id, 5, 99, 1000)
		b.add(5, 1000, e)
		b.add(9, 2000, e)
		bl := b.finish()
		var r blockReader
		if err := r.open(id, bl.first, bl.value); err != nil {
			t.Fatal(err)
		}
		for _, offset := range []uint64{5, 9} {
			var got event.Event
			if _, err := r.decode(r.next(), &got, new([]event.Header)); err != nil {
				t.Fatal(err)
			}
			if r.offset != offset || got.Subject != subject || got.Key != key || !bytes.Equal(got.Data, data) || got.Header(name) != value || !got.Time.Equal(e.Time) {
				t.Fatalf("%+v at %d, want %+v at %d", got, r.offset, e, offset)
			}
		}
		if len(raw) > 0 { // one bit somewhere
			at := int(raw[0]) % len(bl.value)
			bl.value[at] ^= 1
			if at > 0 && decodeAnything(id, bl.value) {
				t.Fatalf("a flipped bit at %d was not noticed", at)
			}
		}
	})
}
