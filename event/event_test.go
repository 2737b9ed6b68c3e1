package event

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestEventValidate(t *testing.T) {
	limits := Limits{KeyLength: 3, Headers: 2, HeaderBytes: 10, DataLength: 4}
	header := func(n, v string) Header { return Header{Name: n, Value: v} }
	tests := []struct {
		name  string
		event Event
		want  error
	}{
		{"all at the limit", Event{Subject: "a", Key: "123", Data: make([]byte, 4), Headers: []Header{header("12", "345"), header("67", "890")}}, nil},
		{"bad subject", Event{Subject: "a/#"}, ErrWildcard},
		{"long key", Event{Subject: "a", Key: "1234"}, ErrTooLong},
		{"much data", Event{Subject: "a", Data: make([]byte, 5)}, ErrTooLong},
		{"many headers", Event{Subject: "a", Headers: make([]Header, 3)}, ErrTooLong},
		{"long headers", Event{Subject: "a", Headers: []Header{header("12345", "678901")}}, ErrTooLong},
	}
	for _, tt := range tests {
		if err := tt.event.Validate(limits); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
	if err := (&Event{Subject: "a", Data: make([]byte, DefaultDataLength+1)}).Validate(Limits{}); !errors.Is(err, ErrTooLong) {
		t.Errorf("default data limit: %v", err)
	}
}

func TestEventCloneSharesNothing(t *testing.T) {
	e := &Event{
		ID: new(Generator).New(), Subject: "a/b", Key: "k", Time: time.Now(),
		Headers: []Header{{TraceParent, "00-1"}}, Data: []byte("data"),
	}
	c := e.Clone()
	if !reflect.DeepEqual(e, c) {
		t.Fatalf("clone = %+v, want %+v", c, e)
	}
	e.Data[0], e.Headers[0].Value = 'X', "changed"
	if string(c.Data) != "data" || c.Header(TraceParent) != "00-1" {
		t.Errorf("clone changed with the original: %+v", c)
	}
	if e.Header("none") != "" {
		t.Error("a header that is not there has a value")
	}
}

func TestEventSizeCountsEverything(t *testing.T) {
	long := strings.Repeat("x", 1000)
	e := &Event{Subject: long, Key: long, Data: []byte(long), Headers: []Header{{long, long}}}
	if n := e.Size(); n < 5000 || n > 5400 {
		t.Errorf("Size = %d, want 5000 and a little", n)
	}
}
