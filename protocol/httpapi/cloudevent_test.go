package httpapi

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spate-io/spate/event"
)

// attributesOf is a CloudEvent as JSON, for comparing.
func attributesOf(t *testing.T, text []byte) map[string]any {
	t.Helper()
	var m map[string]any
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	if err := dec.Decode(&m); err != nil {
		t.Fatalf("%s is not JSON: %v", text, err)
	}
	return m
}

// What comes as a CloudEvent goes out as the same one.
func TestCloudEventThereAndBack(t *testing.T) {
	for _, test := range []struct {
		name, in string
		subject  string
		key      string
		headers  []event.Header
		data     string
	}{
		{"the least", `{"specversion":"1.0","id":"1","source":"/a","type":"org.example.made","time":"2026-01-02T15:04:05Z"}`, "org/example/made", "",
			[]event.Header{{Name: "ce-id", Value: "1"}, {Name: "ce-source", Value: "/a"}, {Name: "ce-type", Value: "org.example.made"}}, ""},
		{"a subject", `{"specversion":"1.0","id":"1","source":"/a","type":"t","subject":"orders/7","time":"2026-01-02T15:04:05Z","data":{"n": 1}}`, "orders/7", "",
			[]event.Header{{Name: "ce-id", Value: "1"}, {Name: "ce-source", Value: "/a"}, {Name: "ce-type", Value: "t"}}, `{"n": 1}`},
		{"a subject like the type", `{"specversion":"1.0","id":"1","source":"/a","type":"a.b","subject":"a/b","time":"2026-01-02T15:04:05Z"}`, "a/b", "",
			[]event.Header{{Name: "ce-id", Value: "1"}, {Name: "ce-source", Value: "/a"}, {Name: "ce-type", Value: "a.b"}, {Name: "ce-subject", Value: "explicit"}}, ""},
		{"our own", `{"specversion":"1.0","id":"01932c07-3f2e-7c1a-9d5b-0e6f8a2b4c6d","source":"/spate","type":"io.spate.event","subject":"a","time":"2026-01-02T15:04:05Z","data":1}`,
			"a", "", nil, "1"},
		{"our type without a subject", `{"specversion":"1.0","id":"01932c07-3f2e-7c1a-9d5b-0e6f8a2b4c6d","source":"/spate","type":"io.spate.event","time":"2026-01-02T15:04:05Z"}`,
			"io/spate/event", "", []event.Header{{Name: "ce-type", Value: "io.spate.event"}}, ""},
		{"a time elsewhere", `{"specversion":"1.0","id":"01932c07-3f2e-7c1a-9d5b-0e6f8a2b4c6d","source":"/spate","type":"x","subject":"a","time":"2026-01-02T15:04:05.50+02:00"}`,
			"a", "", []event.Header{{Name: "ce-time", Value: "2026-01-02T15:04:05.50+02:00"}, {Name: "ce-type", Value: "x"}}, ""},
		{"a UUID in capitals", `{"specversion":"1.0","id":"01932C07-3F2E-7C1A-9D5B-0E6F8A2B4C6D","source":"/spate","type":"x","subject":"a","time":"2026-01-02T15:04:05Z"}`,
			"a", "", []event.Header{{Name: "ce-id", Value: "01932C07-3F2E-7C1A-9D5B-0E6F8A2B4C6D"}, {Name: "ce-type", Value: "x"}}, ""},
		{"extensions", `{"specversion":"1.0","id":"01932c07-3f2e-7c1a-9d5b-0e6f8a2b4c6d","source":"/spate","type":"x","subject":"a","time":"2026-01-02T15:04:05Z",` +
			`"n":5,"shop":"7","on":true,"partitionkey":"k","dataschema":"http://s"}`, "a", "k", []event.Header{{Name: "ce-type", Value: "x"},
			{Name: "ce-dataschema", Value: "http://s"}, {Name: "n", Value: "5"}, {Name: "shop", Value: "7"}, {Name: "on", Value: "true"}, {Name: "ce-bare", Value: "n on"}}, ""},
		{"text", `{"specversion":"1.0","id":"01932c07-3f2e-7c1a-9d5b-0e6f8a2b4c6d","source":"/spate","type":"x","subject":"a","time":"2026-01-02T15:04:05Z",` +
			`"datacontenttype":"text/xml","data":"<much wow=\"xml\"/>"}`, "a", "", []event.Header{{Name: "ce-type", Value: "x"}, {Name: "content-type", Value: "text/xml"}}, `<much wow="xml"/>`},
		{"plain text that is JSON too", `{"specversion":"1.0","id":"01932c07-3f2e-7c1a-9d5b-0e6f8a2b4c6d","source":"/spate","type":"x","subject":"a","time":"2026-01-02T15:04:05Z",` +
			`"datacontenttype":"text/plain","data":"5"}`, "a", "", []event.Header{{Name: "ce-type", Value: "x"}, {Name: "content-type", Value: "text/plain"}}, `5`},
		{"bytes", `{"specversion":"1.0","id":"01932c07-3f2e-7c1a-9d5b-0e6f8a2b4c6d","source":"/spate","type":"x","subject":"a","time":"2026-01-02T15:04:05Z",` +
			`"datacontenttype":"image/png","data_base64":"/wA="}`, "a", "", []event.Header{{Name: "ce-type", Value: "x"}, {Name: "content-type", Value: "image/png"}}, "\xff\x00"},
		{"bytes of no type that are text", `{"specversion":"1.0","id":"01932c07-3f2e-7c1a-9d5b-0e6f8a2b4c6d","source":"/spate","type":"io.spate.event","subject":"a","time":"2026-01-02T15:04:05Z",` +
			`"data_base64":"aGVsbG8="}`, "a", "", []event.Header{{Name: "ce-data", Value: "base64"}}, "hello"},
		{"bytes of no type that are JSON", `{"specversion":"1.0","id":"01932c07-3f2e-7c1a-9d5b-0e6f8a2b4c6d","source":"/spate","type":"io.spate.event","subject":"a","time":"2026-01-02T15:04:05Z",` +
			`"data_base64":"e30="}`, "a", "", []event.Header{{Name: "ce-data", Value: "base64"}}, "{}"},
		{"bytes of no type", `{"specversion":"1.0","id":"01932c07-3f2e-7c1a-9d5b-0e6f8a2b4c6d","source":"/spate","type":"io.spate.event","subject":"a","time":"2026-01-02T15:04:05Z",` +
			`"data_base64":"/wA="}`, "a", "", nil, "\xff\x00"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, p := decodeCloudEvent([]byte(test.in))
			if p != nil {
				t.Fatal(p)
			}
			e, p := c.toEvent()
			if p != nil {
				t.Fatal(p)
			}
			slices.SortStableFunc(e.Headers, func(a, b event.Header) int { return 0 })
			if e.Subject != test.subject || e.Key != test.key || string(e.Data) != test.data || !sameHeaders(e.Headers, test.headers) {
				t.Errorf("%+v, data %q", e, e.Data)
			}
			if got, want := attributesOf(t, appendCloudEvent(nil, e)), attributesOf(t, []byte(test.in)); !reflect.DeepEqual(got, want) {
				t.Errorf("it went out as\n%v, and had come as\n%v", got, want)
			}
		})
	}
}

// sameHeaders compares headers whatever their order.
func sameHeaders(a, b []event.Header) bool {
	key := func(h event.Header) string { return h.Name + "\x00" + h.Value }
	sortBy := func(x, y event.Header) int { return strings.Compare(key(x), key(y)) }
	return slices.Equal(slices.SortedFunc(slices.Values(a), sortBy), slices.SortedFunc(slices.Values(b), sortBy))
}

// The id of a CloudEvent that was sent again is the same, and that of another source is not.
func TestCloudEventID(t *testing.T) {
	ids := map[event.ID]bool{}
	for _, text := range []string{
		`{"specversion":"1.0","id":"1","source":"/a","type":"t"}`, `{"specversion":"1.0","source":"/a","type":"t","id":"1"}`,
		`{"specversion":"1.0","id":"1","source":"/b","type":"t"}`, `{"specversion":"1.0","id":"2","source":"/a","type":"t"}`,
	} {
		c, p := decodeCloudEvent([]byte(text))
		if p != nil {
			t.Fatal(p)
		}
		e, p := c.toEvent()
		if p != nil {
			t.Fatal(p)
		}
		if _, err := event.ParseID(e.ID.String()); err != nil {
			t.Error(err)
		}
		ids[e.ID] = true
	}
	if len(ids) != 3 {
		t.Errorf("%d IDs, want 3", len(ids))
	}
}

func TestCloudEventRefused(t *testing.T) {
	least := `"specversion":"1.0","id":"1","source":"/a","type":"t"`
	for _, test := range []struct{ name, in, want string }{
		{"a list", `[]`, "object"},
		{"nothing", `{}`, "specversion"},
		{"no id", `{"specversion":"1.0","source":"/a","type":"t"}`, `"id" is missing`},
		{"an empty id", `{"specversion":"1.0","id":"","source":"/a","type":"t"}`, `"id" is empty`},
		{"an id that is a number", `{"specversion":"1.0","id":1,"source":"/a","type":"t"}`, `"id" must be a text`},
		{"another version", `{"specversion":"2.0","id":"1","source":"/a","type":"t"}`, "not known"},
		{"an attribute twice", `{` + least + `,"id":"2"}`, "twice"},
		{"an extension twice", `{` + least + `,"a":"2","a":"3"}`, "twice"},
		{"data twice", `{` + least + `,"data":2,"data":3}`, "twice"},
		{"both forms of data", `{` + least + `,"data":2,"data_base64":""}`, "both"},
		{"a bad name", `{` + least + `,"my_name":"x"}`, "lower-case"},
		{"a name in capitals", `{` + least + `,"Shop":"x"}`, "lower-case"},
		{"an object as attribute", `{` + least + `,"shop":{}}`, "integer"},
		{"a fraction", `{` + least + `,"shop":1.5}`, "integer"},
		{"a large number", `{` + least + `,"shop":5000000000}`, "32 bits"},
		{"a control character", `{` + least + `,"shop":"a\nb"}`, "characters"},
		{"half a pair", `{` + least + `,"shop":"\ud800"}`, "surrogate"},
		{"a time of day", `{` + least + `,"time":"12:00"}`, "RFC 3339"},
		{"bad base64", `{` + least + `,"data_base64":"*"}`, "base64"},
		{"an object that is no JSON type", `{` + least + `,"datacontenttype":"text/plain","data":{}}`, "JSON string"},
		{"headers that are not encoded", `{` + least + `,"spateheaders":"a=%zz"}`, "URL-encoded"},
		{"a partition key that is a number", `{` + least + `,"partitionkey":1}`, "text"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, p := decodeCloudEvent([]byte(test.in))
			if p == nil {
				_, p = c.toEvent()
			}
			if p == nil || !strings.Contains(p.detail, test.want) {
				t.Errorf("%v, want something about %q", p, test.want)
			}
		})
	}
}

// FuzzCloudEvent: whatever is accepted goes out as something that comes back as the same event.
func FuzzCloudEvent(f *testing.F) {
	f.Add([]byte(`{"specversion":"1.0","id":"1","source":"/a","type":"org.example.made"}`))
	f.Add([]byte(`{"specversion":"1.0","id":"1","source":"/a","type":"a.b","subject":"a/b","n":5,"spateheaders":"a=b&a=c","data":"x"}`))
	f.Add([]byte(`{"specversion":"1.0","id":"01932c07-3f2e-7c1a-9d5b-0e6f8a2b4c6d","source":"/spate","type":"io.spate.event","data_base64":"/wA="}`))
	f.Add([]byte(`{"specversion":"1.0","id":"1","source":"/a","type":"t","data_base64":"aGVsbG8="}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if !json.Valid(text) || !bytes.Equal(text, bytes.ToValidUTF8(text, nil)) {
			return // refused before
		}
		c, p := decodeCloudEvent(text)
		if p != nil {
			return
		}
		e, p := c.toEvent()
		if p != nil || e.Validate(event.Limits{}) != nil {
			return
		}
		if e.Time.IsZero() {
			e.Time = time.Unix(1, 0).UTC()
		}
		thereAndBack(t, e)
	})
}

// FuzzEvent: any event goes out as a CloudEvent and comes back as it was.
func FuzzEvent(f *testing.F) {
	f.Add("a/b", "key", "ce-type", "x", "x-a", "1", int64(1e18), []byte("data"))
	f.Add("a/b", "\xff", "ce-bare", "n", "n", "5", int64(0), []byte("{}"))
	f.Add("a/b", "", "ce-type", "a.b", "ce-subject", "explicit", int64(5), []byte(" {}\r\n"))
	f.Add("io/spate/event", "", "ce-type", "io.spate.event", "ce-source", "/spate", int64(5), []byte(nil))
	f.Add("a", "", "content-type", "text/plain", "content-type", "text/plain", int64(5), []byte("x"))
	f.Add("\x06", "", "ce-type", "x", "a", "", int64(5), []byte("x"))
	f.Add("a", "", "spatetext", "true", "spateheaders", "a", int64(5), []byte("x"))
	f.Add("a", "", "ce-data", "base64", "b", "", int64(5), []byte("x"))
	f.Add("a", "", "ce-data", "base64", "content-type", "", int64(5), []byte("{}"))
	f.Add("a", "", "ce-time", "1970-01-01T00:00:00+00:00", "ce-id", "7", int64(0), []byte("x"))
	f.Fuzz(func(t *testing.T, subject, key, name1, value1, name2, value2 string, nanos int64, data []byte) {
		e := &event.Event{
			ID: derivedID("cloudevent", defaultSource, "7"), Subject: subject, Key: key, Time: time.Unix(0, nanos).UTC(),
			Headers: []event.Header{{Name: name1, Value: value1}, {Name: name2, Value: value2}}, Data: data,
		}
		if e.Validate(event.Limits{}) == nil {
			thereAndBack(t, e)
		}
	})
}

func thereAndBack(t *testing.T, e *event.Event) {
	t.Helper()
	text := appendCloudEvent(nil, e)
	if !json.Valid(text) || bytes.IndexByte(text, '\r') >= 0 {
		t.Fatalf("%+v became %s", e, text)
	}
	c, p := decodeCloudEvent(text)
	if p != nil {
		t.Fatalf("%+v became %s, which is refused: %v", e, text, p)
	}
	back, p := c.toEvent()
	if p != nil {
		t.Fatalf("%+v became %s, which is refused: %v", e, text, p)
	}
	if back.ID != e.ID || back.Subject != e.Subject || back.Key != e.Key || !back.Time.Equal(e.Time) || !bytes.Equal(back.Data, e.Data) ||
		!sameHeaders(back.Headers, e.Headers) {
		t.Fatalf("%+v became\n%s and then\n%+v", e, text, back)
	}
}

// FuzzResumeToken: what is accepted is what would be given out.
func FuzzResumeToken(f *testing.F) {
	id := new(event.Generator).New()
	f.Add(string(appendToken(nil, "orders", id, []uint64{1, 2, 1 << 40, 0})))
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		offsets, p := parseToken(text, "orders", id, 4)
		if p == nil && string(appendToken(nil, "orders", id, offsets)) != text {
			t.Errorf("%q is %v", text, offsets)
		}
	})
}
