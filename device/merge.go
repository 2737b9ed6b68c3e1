package device

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// merge applies a JSON merge patch (RFC 7396, section 2), and returns the result. The patch is left as it is; the target is changed.
func merge(target, patch any) any {
	fields, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	object, ok := target.(map[string]any)
	if !ok {
		object = map[string]any{}
	}
	for name, value := range fields {
		if value == nil {
			delete(object, name)
			continue
		}
		object[name] = merge(object[name], value)
	}
	return object
}

// mergeTimes does to the times of an object what a patch does to the object: it has a time for each value that is no object.
func mergeTimes(times, patch any, now int64) any {
	fields, ok := patch.(map[string]any)
	if !ok {
		return now
	}
	object, ok := times.(map[string]any)
	if !ok {
		object = map[string]any{}
	}
	for name, value := range fields {
		if value == nil {
			delete(object, name)
			continue
		}
		object[name] = mergeTimes(object[name], value, now)
	}
	return object
}

// difference returns the fields of desired that reported does not have, or has otherwise; nil if there are none. Lists are compared as a whole.
func difference(desired, reported map[string]any) map[string]any {
	var d map[string]any
	for name, want := range desired {
		have, there := reported[name]
		differs := want
		wanted, one := want.(map[string]any)
		had, other := have.(map[string]any)
		switch {
		case there && one && other:
			inner := difference(wanted, had)
			if inner == nil {
				continue
			}
			differs = inner
		case there && equal(want, have):
			continue
		}
		if d == nil {
			d = map[string]any{}
		}
		d[name] = differs
	}
	return d
}

// timesOf returns the part of a tree of times that belongs to some of its fields.
func timesOf(fields map[string]any, times any) map[string]any {
	all, _ := times.(map[string]any)
	some := make(map[string]any, len(fields))
	for name, value := range fields {
		t, there := all[name]
		if !there {
			continue
		}
		inner, object := value.(map[string]any)
		if _, tree := t.(map[string]any); object && tree {
			t = timesOf(inner, t)
		}
		some[name] = t
	}
	return some
}

// equal compares JSON values: numbers by their value, objects without regard to order.
func equal(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for name, value := range a {
			if other, there := b[name]; !there || !equal(value, other) {
				return false
			}
		}
		return true
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for i := range a {
			if !equal(a[i], b[i]) {
				return false
			}
		}
		return true
	case json.Number:
		b, ok := b.(json.Number)
		return ok && (a == b || sameNumber(a, b))
	}
	return a == b
}

// sameNumber compares numbers that are written in different ways, such as 1 and 1.0.
func sameNumber(a, b json.Number) bool {
	x, err := strconv.ParseFloat(a.String(), 64)
	y, failed := strconv.ParseFloat(b.String(), 64)
	return err == nil && failed == nil && x == y
}

// errDeep means that JSON is nested too deeply.
var errDeep = errors.New("the JSON is nested too deeply")

// decodeJSON reads one JSON value, with numbers as they are written, and nothing behind it.
func decodeJSON(data []byte, depth int) (any, error) {
	if nested(data) > depth {
		return nil, fmt.Errorf("%w: %d levels are allowed", errDeep, depth)
	}
	var v any
	if err := unmarshal(data, &v); err != nil {
		return nil, fmt.Errorf("it is not JSON: %w", err)
	}
	return v, nil
}

// unmarshal reads one JSON value, with numbers as they are written.
func unmarshal(data []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := dec.Decode(into); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("it is more than one JSON value")
	}
	return nil
}

// nested returns how deeply JSON is nested, before it is read, since reading it calls itself.
func nested(data []byte) (deepest int) {
	depth, text := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case text && c == '\\':
			i++
		case c == '"':
			text = !text
		case text:
		case c == '{' || c == '[':
			depth++
			deepest = max(deepest, depth)
		case c == '}' || c == ']':
			depth--
		}
	}
	return deepest
}
