package httpapi

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"mime"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A cloudEvent is an event of CloudEvents 1.0, as text. An attribute that is "" is not there.
type cloudEvent struct {
	id, source, kind, subject, time, contentType, schema string

	extensions []attr
	data       []byte
	text       bool // data was a JSON string of a type that is not JSON
	binary     bool // data was, or is to be, data_base64, although it could be data
}

// attr is an extension attribute. Bare ones are written in JSON without quotes: integers and booleans.
type attr struct {
	name, value string
	bare        bool
}

// specVersion is the only one that there is.
const specVersion = "1.0"

// context returns where the value of a context attribute belongs, or nil for the name of an extension.
func (c *cloudEvent) context(name string) *string {
	switch name {
	case "id":
		return &c.id
	case "source":
		return &c.source
	case "type":
		return &c.kind
	case "subject":
		return &c.subject
	case "time":
		return &c.time
	case "datacontenttype":
		return &c.contentType
	case "dataschema":
		return &c.schema
	}
	return nil
}

// reservedNames cannot be names of extensions.
var reservedNames = map[string]bool{
	"specversion": true, "id": true, "source": true, "type": true, "subject": true, "time": true, "datacontenttype": true, "dataschema": true,
	"data": true, "data_base64": true,
}

// set sets an attribute to a value that is text.
func (c *cloudEvent) set(name, value string) *problem {
	to := c.context(name)
	switch {
	case name == "specversion" && value != specVersion:
		return problemf(kindEvent, "specversion %.20q is not known: it must be %q", value, specVersion)
	case name == "specversion":
		return nil
	case !usableText(value):
		return problemf(kindEvent, "the attribute %.40q has characters that an attribute must not have", name)
	case to != nil && value == "":
		return problemf(kindEvent, "the attribute %q is empty: leave it out instead", name)
	case to != nil:
		*to = value
		return nil
	}
	return c.extend(attr{name: name, value: value})
}

func (c *cloudEvent) extend(a attr) *problem {
	if !extensionName(a.name) {
		return problemf(kindEvent, "%.40q cannot be the name of an attribute: it must be lower-case letters and digits", a.name)
	}
	c.extensions = append(c.extensions, a)
	return nil
}

// check reports what is missing.
func (c *cloudEvent) check() *problem {
	for _, required := range []struct{ name, value string }{{"id", c.id}, {"source", c.source}, {"type", c.kind}} {
		if required.value == "" {
			return problemf(kindEvent, "the attribute %q is missing", required.name)
		}
	}
	return nil
}

// extensionName tells whether an extension can have that name.
func extensionName(name string) bool {
	for i := range len(name) {
		if c := name[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return name != "" && !reservedNames[name]
}

// usableText tells whether an attribute may have that value: Unicode without control characters (CloudEvents 1.0, String).
func usableText(s string) bool {
	for _, r := range s {
		if r < 0x20 || r >= 0x7f && r <= 0x9f {
			return false
		}
	}
	return utf8.ValidString(s)
}

// decodeCloudEvent reads an event in the JSON format. The text must be UTF-8. Data is a copy.
func decodeCloudEvent(text []byte) (*cloudEvent, *problem) {
	dec := json.NewDecoder(bytes.NewReader(text))
	if token, err := dec.Token(); err != nil || token != json.Delim('{') {
		return nil, problemf(kindEvent, "a CloudEvent in JSON must be an object")
	}
	c, seen := &cloudEvent{}, map[string]bool{}
	var data, encoded json.RawMessage
	for dec.More() {
		token, err := dec.Token()
		name, isName := token.(string)
		if err != nil || !isName {
			return nil, problemf(kindEvent, "the CloudEvent is not JSON: %v", err)
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, problemf(kindEvent, "the CloudEvent is not JSON: %v", err)
		}
		if seen[name] {
			return nil, problemf(kindEvent, "the attribute %.40q is there twice", name)
		}
		if seen[name] = true; len(seen) > maxAttributes {
			return nil, problemf(kindEvent, "the CloudEvent has more than %d attributes", maxAttributes)
		}
		switch name {
		case "data":
			data = value
		case "data_base64":
			encoded = value
		default:
			if p := c.setJSON(name, value); p != nil {
				return nil, p
			}
		}
	}
	if _, err := dec.Token(); err != nil {
		return nil, problemf(kindEvent, "the CloudEvent is not JSON: it ends early")
	}
	if !seen["specversion"] {
		return nil, problemf(kindEvent, "the attribute %q is missing", "specversion")
	}
	if p := c.setData(data, encoded); p != nil {
		return nil, p
	}
	return c, c.check()
}

var integer = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)

// setJSON sets an attribute to a JSON value. Null is the same as not there.
func (c *cloudEvent) setJSON(name string, value json.RawMessage) *problem {
	text := string(value)
	switch {
	case text == "null":
		return nil
	case text[0] == '"':
		s, p := unquote(value)
		if p != nil {
			return p
		}
		return c.set(name, s)
	case reservedNames[name]:
		return problemf(kindEvent, "the attribute %q must be a text", name)
	case bareValue(text):
		return c.extend(attr{name, text, true})
	}
	return problemf(kindEvent, "the attribute %.40q must be a text, an integer of 32 bits, or a boolean", name)
}

// bareValue tells whether an extension can have that value without quotes.
func bareValue(text string) bool {
	if text == "true" || text == "false" {
		return true
	}
	_, err := strconv.ParseInt(text, 10, 32)
	return err == nil && integer.MatchString(text)
}

// unquote reads a JSON string. Half of a surrogate pair stands for no character and is refused, since it would be replaced in silence.
func unquote(value json.RawMessage) (string, *problem) {
	var s string
	if err := json.Unmarshal(value, &s); err != nil {
		return "", problemf(kindEvent, "a text is not JSON: %v", err)
	}
	const replacement = "\uFFFD"
	if strings.Count(s, replacement) != bytes.Count(value, []byte(replacement))+bytes.Count(bytes.ToLower(value), []byte(`\ufffd`)) {
		return "", problemf(kindEvent, "a text has half of a surrogate pair in it, which is no character")
	}
	return s, nil
}

// setData sets the data from either member.
func (c *cloudEvent) setData(data, encoded json.RawMessage) *problem {
	switch {
	case data != nil && encoded != nil:
		return problemf(kindEvent, "there are both data and data_base64")
	case encoded != nil:
		var text string
		if err := json.Unmarshal(encoded, &text); err != nil {
			return problemf(kindEvent, "data_base64 must be a text")
		}
		decoded, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return problemf(kindEvent, "data_base64 is not base64: %v", err)
		}
		c.data, c.binary = decoded, utf8.Valid(decoded) && len(decoded) > 0
	case data == nil:
	case jsonType(c.contentType):
		c.data = bytes.Clone(data)
	case data[0] != '"':
		return problemf(kindEvent, "data of the type %.80q must be a JSON string, or base64 in data_base64", c.contentType)
	default:
		text, p := unquote(data)
		if p != nil {
			return p
		}
		c.data, c.text = []byte(text), true
	}
	return nil
}

// jsonType tells whether data of that type is JSON; without a type it is.
func jsonType(contentType string) bool {
	switch {
	case contentType == "", contentType == "application/json":
		return true
	case !strings.Contains(contentType, "/") || !strings.ContainsAny(contentType, "jJ"): // it takes no parser to see that
		return false
	}
	t, _, err := mime.ParseMediaType(contentType)
	return err == nil && (strings.HasSuffix(t, "/json") || strings.HasSuffix(t, "+json"))
}

// appendJSON appends the event in the JSON format, on one line unless data has some.
func (c *cloudEvent) appendJSON(to []byte) []byte {
	to = append(to, `{"specversion":"`+specVersion+`"`...)
	for _, a := range []attr{
		{name: "id", value: c.id}, {name: "source", value: c.source}, {name: "type", value: c.kind}, {name: "subject", value: c.subject},
		{name: "time", value: c.time}, {name: "datacontenttype", value: c.contentType}, {name: "dataschema", value: c.schema},
	} {
		if a.value != "" {
			to = a.appendJSON(to)
		}
	}
	for _, a := range c.extensions {
		to = a.appendJSON(to)
	}
	switch {
	case len(c.data) == 0:
	case !c.binary && jsonType(c.contentType) && plainJSON(c.data):
		to = append(append(to, `,"data":`...), c.data...)
	case !c.binary && !jsonType(c.contentType) && utf8.Valid(c.data):
		to = appendQuoted(append(to, `,"data":`...), string(c.data))
	default:
		to = append(to, `,"data_base64":"`...)
		to = append(base64.StdEncoding.AppendEncode(to, c.data), '"')
	}
	return append(to, '}')
}

// plainJSON tells whether data can be a JSON value inside of another without a byte being lost on the way: white space around it
// and carriage returns would be.
func plainJSON(data []byte) bool {
	if len(data) == 0 || strings.IndexByte(`{["-0123456789tfn`, data[0]) < 0 {
		return false
	}
	return utf8.Valid(data) && bytes.IndexByte(data, '\r') < 0 && len(bytes.TrimSpace(data)) == len(data) && json.Valid(data)
}

func (a attr) appendJSON(to []byte) []byte {
	to = append(appendQuoted(append(to, ','), a.name), ':')
	if a.bare {
		return append(to, a.value...)
	}
	return appendQuoted(to, a.value)
}

// appendQuoted appends a JSON string.
func appendQuoted(to []byte, s string) []byte {
	if plainASCII(s) {
		return append(append(append(to, '"'), s...), '"')
	}
	quoted, err := json.Marshal(s)
	if err != nil {
		return append(to, `""`...) // a text cannot fail
	}
	return append(to, quoted...)
}

// plainASCII tells whether a text is the same in JSON.
func plainASCII(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			return false
		}
	}
	return true
}
