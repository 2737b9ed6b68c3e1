package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"
	"unicode/utf8"
)

// mediaType returns the media type of the body without its parameters, in lower case; "" if there is none.
func mediaType(r *http.Request) (string, *problem) {
	text := r.Header.Get("Content-Type")
	if len(r.Header.Values("Content-Type")) > 1 {
		return "", problemf(kindRequest, "there is more than one Content-Type")
	}
	if coding := r.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return "", problemf(kindMedia, "the body must not be compressed (Content-Encoding: %.40q)", coding)
	}
	if text == "" {
		return "", nil
	}
	t, _, err := mime.ParseMediaType(text)
	if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) {
		return "", problemf(kindMedia, "the Content-Type %.80q is no media type", text)
	}
	return t, nil
}

// body reads a body of at most limit bytes. Its memory is taken from what all bodies share, as it arrives and not as it is
// announced, until the request is answered: [call.close] gives it back.
func (d *Door) body(c *call, limit int64) ([]byte, error) {
	r := c.r
	if r.ContentLength > limit {
		return nil, &http.MaxBytesError{Limit: limit}
	}
	from := http.MaxBytesReader(c.w, r.Body, limit)
	var data []byte
	for {
		if len(data) == cap(data) {
			grown := min(max(2*cap(data), firstBody), int(limit)+1)
			if r.ContentLength >= 0 && r.ContentLength < int64(grown) {
				grown = max(int(r.ContentLength)+1, cap(data)+1)
			}
			if !c.take(d, int64(grown-cap(data))) {
				return nil, problemf(kindBusy, "the bodies of other requests take all memory that there is for them: try again in a few seconds")
			}
			data = append(make([]byte, 0, grown), data...)
		}
		n, err := from.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		switch {
		case err == io.EOF:
			return data, nil
		case err != nil:
			return nil, whyNoBody(err)
		}
	}
}

func whyNoBody(err error) error {
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return problemf(kindSlow, "the body did not arrive in time")
	}
	return problemf(kindRequest, "the body did not arrive whole")
}

// take takes n bytes from what all bodies share.
func (c *call) take(d *Door, n int64) bool {
	if d.buffered.Add(n) > d.opts.Limits.Buffered {
		d.buffered.Add(-n)
		return false
	}
	c.taken += n
	return true
}

// give gives back what take took.
func (c *call) give(d *Door, n int64) {
	c.taken -= n
	d.buffered.Add(-n)
}

// close gives back all that take took.
func (c *call) close(d *Door) { c.give(d, c.taken) }

// decode reads a JSON body into value, strictly: unknown, repeated and foreign fields are errors, so that a setting which was
// misspelled does not become the default in silence.
func (d *Door) decode(c *call, value any) error {
	data, err := d.jsonBody(c)
	if err != nil {
		return err
	}
	return strictly(data, value)
}

// jsonBody reads a body that must be JSON, by its media type.
func (d *Door) jsonBody(c *call) ([]byte, error) {
	t, p := mediaType(c.r)
	if p != nil {
		return nil, p
	}
	if t != "application/json" && t != "application/merge-patch+json" {
		return nil, problemf(kindMedia, "the body must be JSON: Content-Type: application/json, not %.80q", t)
	}
	return d.body(c, d.opts.Limits.Body)
}

func strictly(data []byte, value any) error {
	if p := checkJSON(data, maxDepth); p != nil {
		return p
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(value); err != nil {
		return problemf(kindRequest, "the body does not fit: %s", strings.TrimPrefix(err.Error(), "json: "))
	}
	return nil
}

// checkJSON refuses what encoding/json lets pass: invalid UTF-8, a name twice in one object, nesting without a bound, and more
// than one value. In the outermost levels, so many, names that differ in case only are the same, as they are for encoding/json when it looks for a field.
func checkJSON(data []byte, levels int) *problem {
	if !utf8.Valid(data) {
		return problemf(kindRequest, "the body is not UTF-8 text")
	}
	if !json.Valid(data) {
		return problemf(kindRequest, "the body is not JSON, or more than one value: %v", jsonError(data))
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var open []*object
	for {
		token, err := dec.Token()
		if err != nil {
			return nil // the end: it is valid
		}
		switch delim, _ := token.(json.Delim); delim {
		case '{', '[':
			if len(open) == maxDepth {
				return problemf(kindRequest, "the JSON is nested deeper than %d", maxDepth)
			}
			open = append(open, &object{list: delim == '['})
			continue
		case '}', ']':
			open = open[:len(open)-1]
			token = nil
		}
		if len(open) == 0 {
			continue
		}
		if name, again := open[len(open)-1].see(token, len(open) <= levels); again {
			return problemf(kindRequest, "the name %.80q is there twice in one object", name)
		}
	}
}

// object is a JSON object, or a list, that is being read.
type object struct {
	list  bool
	value bool // the next token is the value of a name
	names map[string]bool
}

// see takes the next token, nil for the end of a nested value, and reports a name that was there before.
func (o *object) see(token json.Token, fold bool) (name string, again bool) {
	if o.list {
		return "", false
	}
	if token == nil || o.value {
		o.value = false
		return "", false
	}
	name, _ = token.(string)
	if o.names == nil {
		o.names = map[string]bool{}
	}
	folded := name
	if fold {
		folded = strings.ToLower(strings.ToUpper(name)) // of some letters, two are the same in upper case only
	}
	again = o.names[folded]
	o.names[folded], o.value = true, true
	return name, again
}

func jsonError(data []byte) error {
	var ignored json.RawMessage
	if err := json.Unmarshal(data, &ignored); err != nil {
		return err
	}
	return errors.New("it is not valid")
}
