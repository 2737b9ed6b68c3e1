package bus_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/event"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

type item struct{ Room, Name string }

func room(i item) string { return i.Room }

func whole(i item) string { return i.Room + "/" + i.Name }

func TestSubjectOfAValue(t *testing.T) {
	hall := item{"hall", "lamp"}
	for _, c := range []struct {
		name, want, key string
		topic           *bus.Topic[item]
		wrong           string
	}{
		{"a literal", "items", "", bus.NewTopic[item]("items"), ""},
		{"a literal with a key", "items", "hall", bus.NewTopic("items", bus.Key(room)), ""},
		{"the key fills the hole", "items/hall/on", "", bus.NewTopic("items/+/on", bus.Key(room)), ""},
		{"the hole is first", "hall/on", "", bus.NewTopic("+/on", bus.Key(room)), ""},
		{"the hole is all", "hall", "", bus.NewTopic("+", bus.Key(room)), ""},
		{"a subject", "hall/lamp", "", bus.NewTopic("#", bus.Subject(whole)), ""},
		{"a subject and a key", "hall/lamp", "hall", bus.NewTopic("+/+", bus.Key(room), bus.Subject(whole)), ""},
		{"a subject and a key for one hole", "items/lamp", "hall", bus.NewTopic("items/+", bus.Key(room), bus.Subject(func(i item) string { return "items/" + i.Name })), ""},
		{"the same the other way round", "hall/lamp", "hall", bus.NewTopic("+/+", bus.Subject(whole), bus.Key(room)), ""},
		{"nothing fills it", "", "", bus.NewTopic[item]("items/+"), "with the option Key or Subject how its wildcard is filled"},
		{"two holes", "", "", bus.NewTopic("+/+", bus.Key(room)), "several wildcards: say with the option Subject"},
		{"a rest", "", "", bus.NewTopic("items/+/#", bus.Key(room)), "several wildcards"},
		{"only a rest", "", "", bus.NewTopic("items/#", bus.Key(room)), "several wildcards"},
		{"a key of two levels", "", "", bus.NewTopic("items/+", bus.Key(whole)), "must be one level"},
		{"an empty key", "", "", bus.NewTopic("items/+", bus.Key(func(item) string { return "" })), "must be one level"},
		{"another subject", "", "", bus.NewTopic("items/#", bus.Subject(whole)), `"hall/lamp", which is not one of the topic`},
	} {
		e, err := c.topic.Event(t.Context(), hall)
		switch {
		case c.wrong != "":
			if !errors.Is(err, bus.ErrSubject) || !strings.Contains(err.Error(), c.wrong) {
				t.Errorf("%s: %v", c.name, err)
			}
		case err != nil || e.Subject != c.want || e.Key != c.key:
			t.Errorf("%s: %+v, %v", c.name, e, err)
		}
	}
}

func TestOptionsGivenTwice(t *testing.T) {
	for name, err := range map[string]error{
		"Key":       bus.NewTopic("a", bus.Key(room), bus.Key(room)).Err(),
		"Subject":   bus.NewTopic("a", bus.Subject(room), bus.Subject(room)).Err(),
		"WithCodec": bus.NewTopic("a", bus.WithCodec(bus.Raw()), bus.WithCodec(bus.Raw())).Err(),
	} {
		if !errors.Is(err, bus.ErrTopic) || !strings.Contains(err.Error(), name+" is given twice") {
			t.Errorf("%s: %v", name, err)
		}
	}
	bad := bus.NewTopic[item]("a/#/b")
	if _, err := bad.Event(t.Context(), item{}); !errors.Is(err, event.ErrWildcard) {
		t.Errorf("a filter that is none: %v", err)
	}
}

func roundTrip[T any](t *testing.T, topic *bus.Topic[T], v T) (data string, back T) {
	t.Helper()
	e, err := topic.Event(t.Context(), v)
	if err != nil {
		t.Fatal(err)
	}
	if back, err = topic.Decode(e); err != nil {
		t.Fatal(err)
	}
	return string(e.Data), back
}

func TestCodecs(t *testing.T) {
	if data, back := roundTrip(t, bus.NewTopic[item]("a"), item{"r", "n"}); data != `{"Room":"r","Name":"n"}` || back.Name != "n" {
		t.Error("json:", data, back)
	}
	if data, back := roundTrip(t, bus.NewTopic[[]byte]("a"), []byte("x\x00y")); data != "x\x00y" || string(back) != data {
		t.Errorf("bytes: %q %q", data, back)
	}
	proto := bus.NewTopic("a", bus.WithCodec(bus.Protobuf[*wrapperspb.StringValue]()))
	if data, back := roundTrip(t, proto, wrapperspb.String("hello")); data != "\n\x05hello" || back.GetValue() != "hello" {
		t.Errorf("protobuf: %q %v", data, back)
	}
	var wrong *bus.DecodeError
	if _, err := proto.Decode(&event.Event{Subject: "a", Data: []byte{1}}); !errors.As(err, &wrong) || wrong.Event.Subject != "a" {
		t.Errorf("not protobuf: %v", err)
	}
	broken := bus.NewTopic[chan int]("a")
	if _, err := broken.Event(t.Context(), nil); err == nil || !strings.Contains(err.Error(), `encoding a value for the topic "a"`) {
		t.Errorf("not encodable: %v", err)
	}
}

func TestPublishNeedsANode(t *testing.T) {
	if err := bus.Publish(context.Background(), readings, reading{}); !errors.Is(err, bus.ErrNoNode) {
		t.Error(err)
	}
	r := newLive(t, bus.NodeOptions{})
	in, err := bus.Subscribe(r, readings)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if err := bus.Publish(bus.WithNode(t.Context(), r), readings, reading{"a", 1}); err != nil {
		t.Fatal(err)
	}
	if v, err := in.Next(t.Context()); err != nil || v.Device != "a" {
		t.Error(v, err)
	}
}
