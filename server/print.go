package server

import (
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/spate-io/spate/auth"
	"go.yaml.in/yaml/v3"
)

// Print writes the configuration in effect as YAML, with a comment behind each
// value that is not a default: where it comes from. Secrets are ***, so the
// outcome can be shown to others, and read again once they are filled in.
func (s *Settings) Print(w io.Writer) error {
	p := printer{origins: s.origins}
	doc := p.structure(reflect.ValueOf(s.Config), "")
	out := yaml.NewEncoder(w)
	out.SetIndent(2)
	if err := out.Encode(doc); err != nil {
		return fmt.Errorf("printing the configuration: %w", err)
	}
	return out.Close()
}

// A printer makes YAML of a configuration, in the order of its fields.
type printer struct{ origins map[string]string }

func (p printer) node(v reflect.Value, path string) *yaml.Node {
	switch {
	case isLeaf(v.Type()):
		n := &yaml.Node{Kind: yaml.ScalarNode, Value: leafText(v, mayBeNone(path)), LineComment: p.origins[path]}
		if v.Kind() == reflect.String || isText(v.Type()) {
			n.Tag = "!!str"
		}
		return n
	case v.Kind() == reflect.Struct:
		return p.structure(v, path)
	case v.Kind() == reflect.Map:
		n := &yaml.Node{Kind: yaml.MappingNode}
		names := make([]string, 0, v.Len())
		for _, k := range v.MapKeys() {
			names = append(names, k.String())
		}
		slices.Sort(names)
		for _, name := range names {
			n.Content = append(n.Content, word(name), p.node(v.MapIndex(reflect.ValueOf(name)), join(path, name)))
		}
		return n
	}
	n := &yaml.Node{Kind: yaml.SequenceNode}
	for i := range v.Len() {
		n.Content = append(n.Content, p.node(v.Index(i), fmt.Sprintf("%s[%d]", path, i)))
	}
	if v.Len() == 0 {
		n.Style = yaml.FlowStyle
	}
	return n
}

func (p printer) structure(v reflect.Value, path string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for _, k := range keysOf(v.Type()) {
		f := v.Field(k.index)
		if k.omit && hidden(f, path) {
			continue
		}
		if a, ok := f.Interface().(auth.Config); ok && len(a.Users)+len(a.Tokens)+len(a.Certificates)+len(a.Roles) == 0 {
			continue // it is off; written out it would be an error, see checkAuth
		}
		n.Content = append(n.Content, word(k.name), p.node(f, join(path, k.name)))
	}
	if l, ok := v.Interface().(Listener); ok && len(n.Content) == 2 {
		return &yaml.Node{Kind: yaml.ScalarNode, Value: l.URL, LineComment: p.origins[path]}
	}
	if len(n.Content) == 0 {
		n.Style = yaml.FlowStyle
	}
	return n
}

// hidden tells whether a value that may be left out is: tls and auth show all
// but the lists that nobody has filled in, and items of lists what they say.
func hidden(f reflect.Value, path string) bool {
	if f.Kind() == reflect.Slice {
		return f.Len() == 0
	}
	section := path == "tls" || path == "auth" || path == "auth.tries"
	return f.IsZero() && (!section || f.Kind() == reflect.Map)
}

func word(text string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Value: text} }

// leafText is a single value as a file would have it. Types that hide what they
// hold hide it here.
func leafText(v reflect.Value, mayBeNone bool) string {
	if isText(v.Type()) {
		return fmt.Sprint(v.Interface())
	}
	if v.CanInt() && v.Int() < 0 && mayBeNone {
		return "none"
	}
	if v.Type() == durationType {
		return durationText(time.Duration(v.Int()))
	}
	return fmt.Sprint(v.Interface())
}

// durationText is a duration without the zeros that String puts behind it: 1m, not 1m0s.
func durationText(d time.Duration) string {
	text := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = text[:len(text)-2]
		}
	}
	return text
}

// differences lists the paths at which two configurations differ, in the order
// of the fields; lists and maps count as one.
func differences(a, b Config) (paths []string) {
	settable(reflect.TypeFor[Config](), "", func(path string) {
		va, vb := field(reflect.ValueOf(a), path), field(reflect.ValueOf(b), path)
		if !reflect.DeepEqual(va.Interface(), vb.Interface()) {
			paths = append(paths, path)
		}
	})
	return paths
}
