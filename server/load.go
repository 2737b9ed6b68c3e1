package server

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Sources are where a configuration comes from. Later ones win: the defaults,
// the file, the variables of the environment, the flags.
type Sources struct {
	// File is the path of a YAML file. Default: none.
	File string
	// Environ is the environment, as os.Environ returns it. Default: none. Of it,
	// SPATE_ and the path of a key in capitals count: SPATE_LIMITS_CONNECTIONS.
	Environ []string
	// Flags are the values of flags that were given. Default: none.
	Flags []Flag
}

// A Flag is the value of a flag of the command line.
type Flag struct {
	// Name is the flag, such as --engine, for error messages. Without one, they
	// do not say where the value comes from.
	Name string
	// Key is the path of the key that it sets, such as drain_timeout.
	Key string
	// Values are what it was given; a list takes all, any other key the last.
	Values []string
}

// Settings are a configuration and where each of its values comes from.
type Settings struct {
	Config
	origins map[string]string
	flags   map[string]bool // the origins that are flags
	unread  []unread
}

// An unread is something that could not be read.
type unread struct {
	path    string
	unknown bool // the key: any other of those beside it may be meant
	leaf    bool // a single value: nothing depends on it but what is said about its key
}

// maxFile bounds the configuration file. A thousand users take 200 KiB.
const maxFile = 4 << 20

// Load reads the sources and checks the outcome. Everything that is wrong is
// reported at once, each with its place and its key; a key that could not be read
// is not checked, and neither is what depends on it.
func Load(from Sources) (*Settings, error) {
	s := &Settings{Config: Default(), origins: make(map[string]string), flags: make(map[string]bool)}
	var errs []error
	if from.File != "" {
		found := s.readFile(from.File)
		if len(found) > 0 && len(s.unread) == 0 {
			return nil, errors.Join(found...) // none of it could be read
		}
		errs = append(errs, found...)
	}
	errs = append(errs, s.readEnviron(from.Environ)...)
	for _, f := range from.Flags {
		s.flags[f.Name] = true
		errs = append(errs, s.set(f.Key, f.Name, f.Values)...)
	}
	errs = append(errs, s.check()...)
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return s, nil
}

func (s *Settings) decoder(where func(line int) string) *decoder {
	return &decoder{where: where, origins: s.origins}
}

// decode writes n into v, and notes the sections of which it could not read all.
func (s *Settings) decode(d *decoder, n *yaml.Node, v reflect.Value, path string) []error {
	d.value(n, v, path)
	s.unread = append(s.unread, d.unread...)
	return d.errs
}

// lacks tells whether what a section has may lack something that could not be read: more than a single value of it, or what an unknown key beside it or above it
// was meant to say, if the section itself was not written. What needs the section cannot be judged then.
func (s *Settings) lacks(section string) bool {
	return slices.ContainsFunc(s.unread, func(u unread) bool {
		parent := parentOf(u.path)
		return !u.leaf && (within(u.path, section) || within(section, u.path)) || u.unknown && (parent == "" || within(section, parent)) && !s.written(section)
	})
}

// doubtful tells whether what is wrong with a key may be that something could not be read: the key, one below or above it, or one
// beside it whose name is not known, if the key itself was not written.
func (s *Settings) doubtful(path string) bool {
	return slices.ContainsFunc(s.unread, func(u unread) bool {
		return within(u.path, path) || within(path, u.path) || u.unknown && parentOf(u.path) == parentOf(path) && !s.written(path)
	})
}

// within tells whether a key is another, or below it.
func within(path, above string) bool {
	rest, found := strings.CutPrefix(path, above)
	return found && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// parentOf is what a key is one of.
func parentOf(path string) string { return path[:max(0, strings.LastIndexByte(path, '.'))] }

// sectionOf is the first word of a path.
func sectionOf(path string) string {
	if end := strings.IndexAny(path, ".["); end >= 0 {
		return path[:end]
	}
	return path
}

// readFile takes what a YAML file says.
func (s *Settings) readFile(path string) []error {
	text, err := readBounded(path)
	if err != nil {
		return []error{err}
	}
	return s.readText(path, text)
}

// readText takes what the text of a file says.
func (s *Settings) readText(path string, text []byte) []error {
	where := func(line int) string { return path + ":" + strconv.Itoa(line) }
	docs := yaml.NewDecoder(bytes.NewReader(text))
	var doc, more yaml.Node
	switch err := docs.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil // an empty file changes nothing
	case err != nil:
		return []error{syntaxError(path, err)}
	}
	switch err := docs.Decode(&more); {
	case err == nil:
		return []error{fmt.Errorf("%s: a second document begins here; a configuration is one document", where(more.Line))}
	case !errors.Is(err, io.EOF):
		return []error{syntaxError(path, err)}
	}
	return s.decode(s.decoder(where), doc.Content[0], reflect.ValueOf(&s.Config).Elem(), "")
}

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the configuration: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read the configuration %s: %w", path, err)
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("cannot read the configuration %s: it has more than %d bytes", path, maxFile)
	}
	return text, nil
}

var yamlLine = regexp.MustCompile(`^yaml: line (\d+): `)

// syntaxError puts the line of a YAML error where editors look for it. Package
// yaml leaves the first one out.
func syntaxError(path string, err error) error {
	text := err.Error()
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		return fmt.Errorf("%s:%s: not YAML: %s", path, m[1], strings.TrimPrefix(text, m[0]))
	}
	return fmt.Errorf("%s:1: not YAML: %s", path, strings.TrimPrefix(text, "yaml: "))
}

// envPrefix begins the variables that set keys.
const envPrefix = "SPATE_"

// kubernetesVariable matches what Kubernetes puts into every container because
// of a service that is called spate. None of it was meant for us.
var kubernetesVariable = regexp.MustCompile(`^SPATE_(SERVICE_(HOST|PORT.*)|PORT|PORT_\d+_(TCP|UDP|SCTP).*)$`)

// readEnviron takes what the environment says. A variable with our prefix that
// names no key is an error, as an unknown key of a file is.
func (s *Settings) readEnviron(environ []string) (errs []error) {
	known := make(map[string]string)
	settable(reflect.TypeFor[Config](), "", func(path string) {
		known[envPrefix+strings.ToUpper(strings.ReplaceAll(path, ".", "_"))] = path
	})
	for _, entry := range slices.Sorted(slices.Values(environ)) {
		name, text, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, envPrefix) || slices.Contains(notKeys(), name) || kubernetesVariable.MatchString(name) {
			continue
		}
		path, found := known[name]
		if !found {
			s.unread = append(s.unread, unread{path: name, unknown: true})
			errs = append(errs, fmt.Errorf("%s: no key of the configuration has this name; see docs/config.md", name))
			continue
		}
		errs = append(errs, s.set(path, name, []string{text})...)
	}
	return errs
}

// ConfigVariable is the variable that names the configuration file.
const ConfigVariable = envPrefix + "CONFIG"

// notKeys are the variables with our prefix that the program reads itself.
func notKeys() []string { return []string{ConfigVariable} }

// set decodes values that come from a variable or a flag. A list of words may be
// written with commas; what has keys of its own is written as YAML in one line.
func (s *Settings) set(path, from string, values []string) []error {
	v := field(reflect.ValueOf(&s.Config).Elem(), path)
	d := s.decoder(func(int) string { return from })
	s.origins[path] = from
	last := values[len(values)-1]
	n := &yaml.Node{Kind: yaml.ScalarNode, Value: last}
	switch {
	case isLeaf(v.Type()):
	case strings.HasPrefix(last, "[") || strings.HasPrefix(last, "{"):
		var doc yaml.Node
		if err := yaml.Unmarshal([]byte(last), &doc); err != nil {
			s.unread = append(s.unread, unread{path: path})
			return []error{fmt.Errorf("%s: %s: not YAML: %s", from, path, strings.TrimPrefix(err.Error(), "yaml: "))}
		}
		n = doc.Content[0]
	case v.Kind() == reflect.Slice:
		n = &yaml.Node{Kind: yaml.SequenceNode}
		for _, text := range values {
			for word := range strings.SplitSeq(text, ",") {
				n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: strings.TrimSpace(word)})
			}
		}
	}
	d.flag = s.flags[from]
	return s.decode(d, n, v, path)
}
