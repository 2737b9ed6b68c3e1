package server

import (
	"encoding"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// maxDepth bounds the nesting of a configuration. The deepest key has 6 levels.
const maxDepth = 32

// maxKey is how much of an unknown key is compared with those that exist.
const maxKey = 64

// A decoder writes YAML into a Config, on top of what is there, and collects
// everything that is wrong. It is stricter than package yaml: a key that does
// not exist, or is there twice, is an error, and each error names file, line and key.
type decoder struct {
	where   func(line int) string // "spate.yaml:12", "SPATE_ENGINE" or "--engine"
	origins map[string]string     // by path: where the value comes from
	flag    bool                  // where is a flag, which says enough without the key
	unread  []unread              // what is wrong, and where
	errs    []error
	depth   int
}

func (d *decoder) failf(n *yaml.Node, path, format string, args ...any) {
	d.failAt(n, unread{path: path}, path, fmt.Sprintf(format, args...))
}

func (d *decoder) failAt(n *yaml.Node, u unread, path, what string) {
	if path != "" && !d.flag {
		what = path + ": " + what
	}
	d.unread = append(d.unread, u)
	d.errs = append(d.errs, fmt.Errorf("%s: %s", d.where(n.Line), what))
}

// value decodes n into v.
func (d *decoder) value(n *yaml.Node, v reflect.Value, path string) {
	d.depth++
	defer func() { d.depth-- }()
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		d.failf(n, path, "anchors and aliases are not supported: write the value out")
	case d.depth > maxDepth:
		d.failf(n, path, "is nested too deeply")
	case n.Kind == yaml.ScalarNode && n.Tag == "!!null" && n.Value != "null" && n.Value != "~":
		// "key:" with nothing behind it leaves the default.
	case v.Type() == reflect.TypeFor[Listener]() && n.Kind == yaml.ScalarNode:
		v.Set(reflect.ValueOf(Listener{URL: n.Value}))
	case isLeaf(v.Type()):
		d.leaf(n, v, path)
	case v.Kind() == reflect.Struct:
		d.structure(n, v, path)
	case v.Kind() == reflect.Map:
		d.mapping(n, v, path)
	default:
		d.list(n, v, path)
	}
}

// pairs calls fn for each key of a mapping, once.
func (d *decoder) pairs(n *yaml.Node, path string, fn func(name string, k, value *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		d.failf(n, path, "expected keys and values, found %s", kindOf(n, path))
		return
	}
	lines := make(map[string]int)
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, value := n.Content[i], n.Content[i+1]
		if k.Kind != yaml.ScalarNode {
			d.failf(k, path, "a key must be a word, found %s", kindOf(k, path))
			continue
		}
		if line, twice := lines[k.Value]; twice {
			d.failf(k, join(path, shown(k.Value)), "is there already, in line %d; give each key once", line)
			continue
		}
		lines[k.Value] = k.Line
		fn(k.Value, k, value)
	}
}

func (d *decoder) structure(n *yaml.Node, v reflect.Value, path string) {
	keys := keysOf(v.Type())
	d.pairs(n, path, func(name string, k, value *yaml.Node) {
		for _, known := range keys {
			if known.name == name {
				d.origins[join(path, name)] = d.where(k.Line)
				d.value(value, v.Field(known.index), join(path, name))
				return
			}
		}
		u := unread{path: join(path, name), unknown: true}
		if !isWord.MatchString(name) {
			u = unread{path: path} // it may be part of any of the others
		}
		d.failAt(k, u, join(path, shown(name)), "unknown key"+suggest(name, keys))
	})
}

func (d *decoder) mapping(n *yaml.Node, v reflect.Value, path string) {
	m := reflect.MakeMap(v.Type())
	d.pairs(n, path, func(name string, k, value *yaml.Node) {
		d.origins[join(path, name)] = d.where(k.Line)
		elem := reflect.New(v.Type().Elem()).Elem()
		d.value(value, elem, join(path, name))
		m.SetMapIndex(reflect.ValueOf(name), elem)
	})
	v.Set(m)
}

func (d *decoder) list(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.SequenceNode {
		d.failf(n, path, "expected a list, found %s", kindOf(n, path))
		return
	}
	if len(n.Content) == 0 {
		v.SetZero()
		return
	}
	s := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, item := range n.Content {
		at := fmt.Sprintf("%s[%d]", path, i)
		d.origins[at] = d.where(item.Line)
		d.value(item, s.Index(i), at)
	}
	v.Set(s)
}

// leaf decodes a single word.
func (d *decoder) leaf(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.ScalarNode {
		d.failf(n, path, "expected a single value, found %s", kindOf(n, path))
		return
	}
	if err := setLeaf(v, n.Value, mayBeNone(path)); err != nil {
		d.failAt(n, unread{path: path, leaf: true}, path, err.Error())
	}
}

// mayBeNone tells whether the limit at the path can be taken away.
func mayBeNone(path string) bool { return strings.HasPrefix(path, "limits.") }

// setLeaf sets v to what text says.
func setLeaf(v reflect.Value, text string, noneAllowed bool) error {
	if isText(v.Type()) {
		return v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(text))
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil || text != "true" && text != "false" {
			return fmt.Errorf("%q is not true or false", text)
		}
		v.SetBool(b)
	default:
		if noneAllowed && text == "none" {
			v.SetInt(none)
			return nil
		}
		n, err := parseNumber(v.Type(), text)
		if err != nil {
			return err
		}
		v.SetInt(n)
	}
	return nil
}

// parseNumber reads a duration such as 10s, or a whole number with an optional
// KiB, MiB or GiB. Neither is ever negative.
func parseNumber(t reflect.Type, text string) (int64, error) {
	if t == durationType {
		dur, err := time.ParseDuration(text)
		if err != nil || dur < 0 {
			return 0, fmt.Errorf("%q is not a duration: write a number and a unit, such as 500ms, 10s or 5m", text)
		}
		return int64(dur), nil
	}
	digits, shift := text, 0
	for unit, bits := range map[string]int{"KiB": 10, "MiB": 20, "GiB": 30} {
		if rest, found := strings.CutSuffix(text, unit); found {
			digits, shift = strings.TrimSpace(rest), bits
		}
	}
	n, err := strconv.ParseInt(strings.ReplaceAll(digits, "_", ""), 10, t.Bits())
	if err != nil || n < 0 || n > (1<<(t.Bits()-1)-1)>>shift {
		return 0, fmt.Errorf("%q is not a whole number from 0 up, such as 1000 or 64KiB", text)
	}
	return n << shift, nil
}

// shown is an unknown key as an error shows it. What is no word may be part of a
// secret that was not quoted, such as a hash with commas inside {}.
func shown(name string) string {
	if !isWord.MatchString(name) {
		return "(not a word: quote values that hold commas, colons or braces)"
	}
	return name
}

var isWord = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,63}$`)

// kindOf is what stands in a place where something else should. A text below
// auth may be a secret that slipped out of its place, and is not shown.
func kindOf(n *yaml.Node, path string) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "keys and values"
	case yaml.SequenceNode:
		return "a list"
	case yaml.ScalarNode:
		if strings.HasPrefix(path, "auth") {
			return "a single value"
		}
		return strconv.Quote(n.Value)
	}
	return "nothing"
}

// suggest names the key that was probably meant.
func suggest(name string, keys []key) string {
	name = name[:min(len(name), maxKey)]
	best, closest := 3, "" // more than two changes, or half of the word, are another word
	names := make([]string, 0, len(keys))
	for _, k := range keys {
		names = append(names, k.name)
		if n := distance(name, k.name); n < best && 2*n < len(name) {
			best, closest = n, k.name
		}
	}
	if closest != "" {
		return "; did you mean " + closest + "?"
	}
	return "; known here: " + strings.Join(names, ", ")
}

// distance is how many letters differ between two words, two that are swapped
// counting once (optimal string alignment).
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
