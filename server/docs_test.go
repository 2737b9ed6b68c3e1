package server

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	docRow = regexp.MustCompile("(?m)^\\| ((?:`[^`]+`(?:, )?)+) \\| ([^|]*) \\|")
	docKey = regexp.MustCompile("`([^`]+)`")
)

// documented are the keys of docs/config.md, with what stands in the column of defaults.
func documented(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../docs/config.md")
	if err != nil {
		t.Fatal(err)
	}
	keys := make(map[string]string)
	for _, row := range docRow.FindAllStringSubmatch(string(text), -1) {
		for _, key := range docKey.FindAllStringSubmatch(row[1], -1) {
			keys[key[1]] = row[2]
		}
	}
	return keys
}

// everyKey lists the keys of a type, those inside lists and maps too.
func everyKey(t reflect.Type, path string) (keys []string) {
	switch {
	case isLeaf(t) || t.Kind() == reflect.Slice && isLeaf(t.Elem()):
		return []string{path}
	case t.Kind() == reflect.Slice:
		return everyKey(t.Elem(), path+"[]")
	case t.Kind() == reflect.Map:
		return everyKey(t.Elem(), path+".NAME")
	}
	for _, k := range keysOf(t) {
		keys = append(keys, everyKey(t.Field(k.index).Type, join(path, k.name))...)
	}
	return keys
}

// docs/config.md has a row for each key and for no other, and the defaults that it states are those that are in effect.
func TestEveryKeyIsDocumented(t *testing.T) {
	docs := documented(t)
	keys := everyKey(reflect.TypeFor[Config](), "")
	for _, key := range keys {
		if _, found := docs[key]; !found {
			t.Errorf("docs/config.md has no row for %s", key)
		}
	}
	for key, stated := range docs {
		if !slices.Contains(keys, key) {
			t.Errorf("docs/config.md has a row for %s, which does not exist", key)
			continue
		}
		if strings.ContainsAny(key, "[") || strings.Contains(key, ".NAME") || strings.HasPrefix(key, "auth.") {
			continue // no value in Default: package auth has these
		}
		v := field(reflect.ValueOf(Default()), key)
		m := docKey.FindStringSubmatch(stated)
		if m == nil || v.Kind() == reflect.Slice || v.IsZero() && v.Kind() == reflect.String {
			if !v.IsZero() {
				t.Errorf("docs/config.md says that the default of %s is %s; it is %v", key, stated, v)
			}
			continue
		}
		got := reflect.New(v.Type()).Elem()
		if err := setLeaf(got, m[1], mayBeNone(key)); err != nil || !got.Equal(v) {
			t.Errorf("docs/config.md says that the default of %s is %s; it is %v (%v)", key, m[1], v, err)
		}
	}
}
