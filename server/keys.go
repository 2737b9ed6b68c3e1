package server

import (
	"encoding"
	"reflect"
	"strings"
	"time"
	"unicode"
)

// A key is one field of the configuration.
type key struct {
	name  string
	index int
	omit  bool // not printed when it is empty
}

// keysOf returns the keys of a struct type, in the order of its fields.
func keysOf(t reflect.Type) []key {
	keys := make([]key, 0, t.NumField())
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if name == "" {
			name = snake(f.Name)
		}
		keys = append(keys, key{name: name, index: i, omit: options == "omitempty"})
	}
	return keys
}

// snake is a Go name as a key: PerAddress is per_address, HTTP is http.
func snake(name string) string {
	var b strings.Builder
	runes := []rune(name)
	for i, r := range runes {
		starts := i > 0 && unicode.IsUpper(r) && (unicode.IsLower(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1]))
		if starts {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// join is the path of a key below another.
func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// isLeaf tells whether a value has no keys below it.
func isLeaf(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Struct:
		return isText(t)
	case reflect.Map, reflect.Slice:
		return false
	}
	return true
}

// isText tells whether a value is written as a text that it takes apart itself, as auth.Secret is.
func isText(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

var durationType = reflect.TypeFor[time.Duration]()

// settable lists the paths that a single variable of the environment can set:
// all but what is inside lists and maps.
func settable(t reflect.Type, path string, add func(path string)) {
	for _, k := range keysOf(t) {
		f, at := t.Field(k.index).Type, join(path, k.name)
		if f.Kind() == reflect.Struct && !isText(f) {
			settable(f, at, add)
			continue
		}
		add(at)
	}
}

// field returns the value at a path of struct fields.
func field(v reflect.Value, path string) reflect.Value {
	for name := range strings.SplitSeq(path, ".") {
		for _, k := range keysOf(v.Type()) {
			if k.name == name {
				v = v.Field(k.index)
				break
			}
		}
	}
	return v
}
