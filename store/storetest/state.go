package storetest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spate-io/spate/store"
)

var stateChecks = []check{
	{"values", checkValues},
	{"revisions", checkRevisions},
	{"scan", checkScan},
	{"scan of many", checkScanMany},
}

func checkValues(f *fixture) {
	large := slices.Repeat([]byte{0, 1, 0xff}, LeastBytes/6)
	values := map[string][]byte{"k": []byte("v"), "empty": nil, "large": large, "binary\x00\xff\x00": {0, 0xff}, "\x00": []byte("zero"), "\xff\xff": []byte("high"), "k/": []byte("below")}
	for key, data := range values {
		f.commit(&store.Batch{Puts: []store.Put{{Key: key, Data: data}}})
	}
	f.both(func() {
		for key, data := range values {
			v := f.value(key)
			equal(f, fmt.Sprintf("value of %q", key), short(v.Data), short(data))
			equal(f, fmt.Sprintf("%q exists", key), v.Revision > 0, true)
		}
		for _, key := range []string{"K", "k\x00", "kk", "binary", "\xff"} {
			v := f.value(key)
			equal(f, fmt.Sprintf("revision of %q, which does not exist", key), v.Revision, 0)
			equal(f, "its length", len(v.Data), 0)
		}
	})
}

// checkRevisions holds one key through writes, a removal and a new beginning: no revision comes twice.
func checkRevisions(f *fixture) {
	last := uint64(0)
	write := func() {
		f.commit(&store.Batch{Puts: []store.Put{{Key: "k", Data: []byte("same")}, {Key: "beside", Data: []byte("same")}}})
		v := f.value("k")
		if v.Revision <= last {
			f.Fatalf("the revision is %d after %d", v.Revision, last)
		}
		last = v.Revision
	}
	for range 3 {
		write()
		write()
		f.commit(&store.Batch{Puts: []store.Put{{Key: "other", Data: []byte("x")}}, Appends: appends(part("a", 0), "x")})
		equal(f, "revision of a key that was not written", f.value("k").Revision, last)
		f.reopen()
		equal(f, "revision after reopening", f.value("k").Revision, last)
		f.commit(&store.Batch{Deletes: []string{"k", "unknown"}})
		equal(f, "revision after a delete", f.value("k").Revision, 0)
		f.refused(&store.Batch{Requires: []store.Require{{Key: "k", Revision: last}}}, store.ErrConflict)
		f.commit(&store.Batch{Requires: []store.Require{{Key: "k", Revision: 0}}})
		f.reopen()
	}
	write()
}

func checkScan(f *fixture) {
	keys := []string{"\x00", "a", "a/", "a/1", "a/10", "a/2", "a0", "b", "b\xff", "b\xff\xff", "b\xff\xffc", "c", "\xff", "\xff\xff", "\xff\xff1"}
	slices.Sort(keys)
	var b store.Batch
	for _, key := range keys {
		b.Puts = append(b.Puts, store.Put{Key: key, Data: []byte("value of " + key)})
	}
	f.commit(&b)
	f.commit(&store.Batch{Puts: []store.Put{{Key: "a/3"}}})
	f.commit(&store.Batch{Deletes: []string{"a/3"}})
	f.both(func() {
		for _, prefix := range []string{"", "a", "a/", "a/1", "a/10", "a/100", "b\xff", "\xff", "\xff\xff", "\x00", "zz"} {
			for _, after := range append([]string{"", "a/1\x00", "a/11", "zzz", "\xff\xff\xff"}, keys...) {
				for _, limit := range []int{1, 2, 100} {
					f.scans(keys, prefix, after, limit)
				}
			}
		}
	})
}

// scans compares one Scan with what it must return of keys.
func (f *fixture) scans(keys []string, prefix, after string, limit int) {
	f.Helper()
	want := slices.DeleteFunc(slices.Clone(keys), func(key string) bool { return !strings.HasPrefix(key, prefix) || key <= after })
	want = want[:min(limit, len(want))]
	entries, err := f.s.Scan(f.ctx, prefix, after, limit)
	f.ok(err)
	var got []string
	for _, e := range entries {
		got = append(got, e.Key)
		v := f.value(e.Key)
		equal(f, "data of "+e.Key, string(e.Data), "value of "+e.Key)
		equal(f, "revision of "+e.Key, e.Revision, v.Revision)
	}
	same(f, fmt.Sprintf("keys from %q after %q", prefix, after), got, want)
}

func checkScanMany(f *fixture) {
	keys := make([]string, 500)
	for i := range keys {
		keys[i] = fmt.Sprintf("many/%05d", i)
	}
	for chunk := range slices.Chunk(keys, LeastOperations) {
		var b store.Batch
		for _, key := range chunk {
			b.Puts = append(b.Puts, store.Put{Key: key, Data: []byte(key)})
		}
		f.commit(&b)
	}
	f.commit(&store.Batch{Puts: []store.Put{{Key: "many"}, {Key: "many0"}}})
	for _, limit := range []int{7, 100, 10000} {
		entries, err := scanAll(f.ctx, f.s, "many/", limit)
		f.ok(err)
		var got []string
		for _, e := range entries {
			got = append(got, e.Key)
		}
		same(f, "keys", got, keys)
	}
}
