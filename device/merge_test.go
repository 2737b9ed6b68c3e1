package device

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"
)

// appendixA is the table of RFC 7396, appendix A.
var appendixA = [][3]string{
	{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
	{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
	{`{"a":"b"}`, `{"a":null}`, `{}`},
	{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
	{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
	{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
	{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
	{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
	{`["a","b"]`, `["c","d"]`, `["c","d"]`},
	{`{"a":"b"}`, `["c"]`, `["c"]`},
	{`{"a":"foo"}`, `null`, `null`},
	{`{"a":"foo"}`, `"bar"`, `"bar"`},
	{`{"e":null}`, `{"a":1}`, `{"e":null,"a":1}`},
	{`[1,2]`, `{"a":"b","c":null}`, `{"a":"b"}`},
	{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
}

func parse(t *testing.T, text string) any {
	t.Helper()
	v, err := decodeJSON([]byte(text), 64)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

func TestMergeTable(t *testing.T) {
	for _, c := range appendixA {
		if got := merge(parse(t, c[0]), parse(t, c[1])); !equal(got, parse(t, c[2])) {
			t.Errorf("%s with %s is %v, want %s", c[0], c[1], got, c[2])
		}
	}
}

// randomJSON returns a value, at most so deep.
func randomJSON(r *rand.Rand, depth int) any {
	switch n := r.IntN(9); {
	case n < 4 && depth > 0:
		object := map[string]any{}
		for range r.IntN(4) {
			object[fmt.Sprint("f", r.IntN(4))] = randomJSON(r, depth-1)
		}
		return object
	case n == 4:
		return []any{json.Number(fmt.Sprint(r.IntN(3)))}
	case n == 5:
		return nil
	case n == 6:
		return r.IntN(2) == 0
	}
	return json.Number(fmt.Sprint(r.IntN(3)))
}

// copyJSON returns a copy that shares nothing.
func copyJSON(v any) any {
	object, ok := v.(map[string]any)
	if !ok {
		return v
	}
	object = maps.Clone(object)
	for name := range object {
		object[name] = copyJSON(object[name])
	}
	return object
}

// shape returns the paths of values that are no objects, and of empty objects.
func shape(v any, path string, into map[string]bool) {
	object, ok := v.(map[string]any)
	if !ok || len(object) == 0 {
		into[path] = true
		return
	}
	for name, inner := range object {
		shape(inner, path+"/"+name, into)
	}
}

// What holds for every merge patch, whatever the documents are; and times have the shape of the document, and the difference is what makes reported like desired.
func TestMergeProperties(t *testing.T) {
	documents := 20_000
	if testing.Short() {
		documents = 2000
	}
	for seed := range uint64(documents) {
		r := rand.New(rand.NewPCG(seed, 7396))
		target, _ := merge(nil, randomJSON(r, 4)).(map[string]any)
		patch, ok := randomJSON(r, 4).(map[string]any)
		if target == nil || !ok {
			continue
		}
		times := mergeTimes(nil, copyJSON(target), 1)
		was := copyJSON(patch)
		once := merge(copyJSON(target), patch)
		if !equal(patch, was) {
			t.Fatalf("the patch was changed: %v", patch)
		}
		if twice := merge(copyJSON(once), patch); !equal(once, twice) {
			t.Fatalf("%v with %v is %v, and then %v", target, patch, once, twice)
		}
		after, before := map[string]bool{}, map[string]bool{}
		shape(once, "", before)
		shape(mergeTimes(times, patch, 2), "", after)
		if !maps.Equal(before, after) {
			t.Fatalf("%v with %v: times for %v of %v", target, patch, after, before)
		}
		if got := difference(target, target); got != nil {
			t.Fatalf("%v differs from itself by %v", target, got)
		}
		object, _ := once.(map[string]any)
		d := difference(object, target)
		if left := difference(object, merge(copyJSON(target), d).(map[string]any)); left != nil {
			t.Fatalf("%v and %v: after %v, %v is left", object, target, d, left)
		}
	}
}

func TestEqual(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{`1`, `1.0`, true}, {`1`, `2`, false}, {`1`, `"1"`, false}, {`[1]`, `[1.0]`, true}, {`[1]`, `[1,2]`, false}, {`[1]`, `1`, false},
		{`{"a":1}`, `{"a":1.0}`, true}, {`{"a":1}`, `{"b":1}`, false}, {`{"a":1}`, `[1]`, false}, {`null`, `null`, true}, {`null`, `false`, false},
		{`12345678901234567890`, `12345678901234567890`, true},
	} {
		if equal(parse(t, c.a), parse(t, c.b)) != c.same {
			t.Errorf("%s and %s", c.a, c.b)
		}
	}
}

func TestDecodeJSON(t *testing.T) {
	for _, bad := range []string{``, `{`, `{} {}`, `{"a":}`, `nul`} {
		if _, err := decodeJSON([]byte(bad), 4); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
	deep := func(n int) []byte { return []byte(strings.Repeat("[", n) + strings.Repeat("]", n)) }
	if _, err := decodeJSON(deep(4), 4); err != nil {
		t.Error(err)
	}
	if _, err := decodeJSON(deep(5), 4); !errors.Is(err, errDeep) {
		t.Error(err)
	}
	if _, err := decodeJSON([]byte(`"[[[[[\"[[[[["`), 4); err != nil {
		t.Errorf("brackets in a text: %v", err)
	}
}

func FuzzDecodeJSON(f *testing.F) {
	for _, c := range appendixA {
		f.Add([]byte(c[0]), []byte(c[1]))
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		target, err := decodeJSON(a, 16)
		patch, failed := decodeJSON(b, 16)
		if err != nil || failed != nil {
			return
		}
		once := merge(target, patch)
		if twice := merge(copyJSON(once), patch); !equal(once, twice) {
			t.Errorf("%q with %q is %v, and then %v", a, b, once, twice)
		}
	})
}
