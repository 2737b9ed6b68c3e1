package pebblestore

import (
	"bytes"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/spate-io/spate/store"
)

// salvaged takes a backup without what cannot be read, and finds all else in what is restored from it.
func salvaged(t *testing.T, s *Store, damaged []bool) {
	t.Helper()
	var backup bytes.Buffer
	lost, count := make([]bool, len(damaged)), 0
	err := s.Snapshot(t.Context(), &backup, store.SnapshotOptions{OnCorrupt: func(e *store.CorruptError) {
		for i := e.Offset; i < e.Offset+e.Records; i++ {
			lost[i] = true
			count++
		}
	}})
	if err != nil || !slices.Equal(lost, damaged) {
		t.Fatalf("a backup leaves out %d records, which are not those that cannot be read: %v", count, err)
	}
	noted := 0
	err = CheckBackup(t.Context(), bytes.NewReader(backup.Bytes()), func(e *store.CorruptError) { noted += int(e.Records) })
	if err != nil || noted != count {
		t.Fatalf("the backup notes %d lost records of %d: %v", noted, count, err)
	}
	fs := vfs.NewMem()
	if err := Restore(t.Context(), "data", &backup, Options{FS: fs}); err != nil {
		t.Fatal(err)
	}
	restored := mustOpen(t, Options{FS: fs})
	defer mustClose(t, restored)
	_, err = store.Verify(t.Context(), restored, func(e *store.CorruptError) { t.Errorf("after a restore: %v", e) }, nil)
	if err != nil {
		t.Fatal(err)
	}
	for at := uint64(0); at < uint64(len(lost)); {
		records, err := restored.Read(t.Context(), store.Position{Partition: testPartition, Offset: at}, store.ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if len(records) == 0 {
			break
		}
		for _, r := range records {
			if lost[r.Offset] || string(r.Event.Data) != known(int(r.Offset)) {
				t.Fatalf("record %d is wrong", r.Offset)
			}
			lost[r.Offset], at = true, r.Offset+1
		}
	}
	if i := slices.Index(lost, false); i >= 0 {
		t.Fatalf("record %d is neither in the backup nor said to be lost", i)
	}
}

// TestSalvage has damage that the checksums of Pebble do not show: of records, of the heads of blocks, and blocks that are not there.
func TestSalvage(t *testing.T) {
	const n = 3000
	for name, damage := range map[string]func(t *testing.T, db *pebble.DB, keys, values [][]byte){
		"a record": func(t *testing.T, db *pebble.DB, keys, values [][]byte) {
			values[3][len(values[3])-1] ^= 1
			put(t, db, keys[3], values[3])
		},
		"the first records": func(t *testing.T, db *pebble.DB, keys, values [][]byte) {
			for i := range 2 {
				values[i][2] ^= 1
				put(t, db, keys[i], values[i])
			}
		},
		"the last block": func(t *testing.T, db *pebble.DB, keys, values [][]byte) {
			put(t, db, keys[len(keys)-1], nil)
		},
		"a block that is missing, and the last": func(t *testing.T, db *pebble.DB, keys, values [][]byte) {
			for _, i := range []int{4, len(keys) - 1} {
				if err := db.Delete(keys[i], pebble.Sync); err != nil {
					t.Fatal(err)
				}
			}
		},
		"everything": func(t *testing.T, db *pebble.DB, keys, values [][]byte) {
			for _, key := range keys {
				put(t, db, key, []byte("x"))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewMem()
			written(t, fs, n)
			s := mustOpen(t, Options{FS: fs})
			var keys, values [][]byte
			err := s.each([]byte{kindRecords}, func(key, value []byte) error {
				keys, values = append(keys, bytes.Clone(key)), append(values, bytes.Clone(value))
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			damage(t, s.db, keys, values)
			if reported := checkDamaged(t, s, n); reported == 0 {
				t.Error("nothing was reported")
			}
			mustClose(t, s)
		})
	}
}

func put(t *testing.T, db *pebble.DB, key, value []byte) {
	t.Helper()
	if err := db.Set(key, value, pebble.Sync); err != nil {
		t.Fatal(err)
	}
}

// TestTrimmedIsNotDamaged reads what was trimmed, removed or dropped after the reading had looked at what there is.
func TestTrimmedIsNotDamaged(t *testing.T) {
	const n = 3000
	everything := make([]store.Position, 0, n)
	for i := range n {
		everything = append(everything, store.Position{Partition: testPartition, Offset: uint64(i)})
	}
	for name, batch := range map[string]*store.Batch{
		"trimmed":        {Trims: []store.Position{{Partition: testPartition, Offset: 2000}}},
		"all is trimmed": {Trims: []store.Position{{Partition: testPartition, Offset: n}}},
		"removed":        {Removes: everything[:1500]},
		"all is removed": {Removes: everything},
		"dropped":        {Drops: []string{testPartition.Stream}},
	} {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewMem()
			written(t, fs, n)
			s := mustOpen(t, Options{FS: fs})
			defer mustClose(t, s)
			v, ok := s.view(store.Position{Partition: testPartition}, 10, 1<<20)
			if !ok || v.covered || !v.bounds.dense() {
				t.Fatalf("%+v", v)
			}
			mustCommit(t, s, batch)
			r := &reading{left: n, bytes: 1 << 20, at: store.Position{Partition: testPartition}, end: v.bounds.End, dense: true}
			if err := s.readDisk(t.Context(), r, v.id); err != nil || r.err != nil {
				t.Errorf("%v, %v", err, r.err)
			}
			for _, rec := range r.records {
				if string(rec.Event.Data) != known(int(rec.Offset)) {
					t.Errorf("record %d is wrong", rec.Offset)
				}
			}
		})
	}
}
