package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// a script is what a server does with one connection after the other.
type script struct {
	t     *testing.T
	steps []func(w http.ResponseWriter)
	asked []string
}

func (s *script) handle(w http.ResponseWriter, r *http.Request) {
	s.asked = append(s.asked, r.URL.RawQuery+" "+r.Header.Get("Last-Event-Id"))
	if len(s.asked) > len(s.steps) {
		s.t.Errorf("connection %d was not expected", len(s.asked))
		return
	}
	s.steps[len(s.asked)-1](w)
}

func say(text string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, text)
	}
}

func refuse(status int) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"title":"no","detail":"refused with %d"}`, status)
	}
}

// subscribe runs a subscription against a script until there were most events.
func subscribe(t *testing.T, steps []func(http.ResponseWriter), stream string, most int) (got, notes, asked []string, err error) {
	t.Helper()
	s := &script{t: t, steps: steps}
	c := serve(t, Options{}, s.handle)
	err = c.Subscribe(t.Context(), Subscription{
		Stream: stream, From: "beginning",
		Event: func(text json.RawMessage) error {
			got = append(got, string(text))
			if len(got) == most {
				return ErrEnough
			}
			return nil
		},
		Note: func(text string) { notes = append(notes, text) },
	})
	return got, notes, s.asked, err
}

// A connection that ends is made again, and what was received in full is where it goes on: an event that was cut off is not.
func TestResume(t *testing.T) {
	got, notes, asked, err := subscribe(t, []func(http.ResponseWriter){
		say("retry: 2000\n\nid: start\n\nid: a\ndata: 1\n\nid: b\ndata: 2\n\n: closed\n\nid: c\ndata: 3\n"), // without the empty line at its end
		refuse(http.StatusServiceUnavailable),
		say("event: error\ndata: {\"status\":503,\"detail\":\"busy\"}\n\n"),
		say("id: c\r\ndata: 3\r\n\r\nevent: gap\ndata: {\"partition\":1,\"from\":3,\"to\":5}\nid: g\n\n"),
		say("data: 4\n\n"),
	}, "orders", 4)
	if err != nil || strings.Join(got, " ") != "1 2 3 4" {
		t.Errorf("%q, %v", got, err)
	}
	want := []string{
		"from=beginning&stream=orders ", "stream=orders b", "stream=orders b", "stream=orders b", "stream=orders g",
	}
	if !slices.Equal(asked, want) {
		t.Errorf("asked %q, want %q", asked, want)
	}
	if len(notes) != 5 || !strings.HasSuffix(notes[0], "nothing is lost") || notes[3] != "offsets 3 to 4 of partition 1 were removed before they were read" {
		t.Errorf("notes %q", notes)
	}
}

// What the server refuses for good is not asked again.
func TestRefused(t *testing.T) {
	for name, steps := range map[string][]func(http.ResponseWriter){
		"at first":              {refuse(http.StatusServiceUnavailable)},
		"later":                 {say("data: 1\n\n"), refuse(http.StatusGone)},
		"in the middle":         {say("data: 1\n\nevent: error\ndata: {\"status\":403,\"detail\":\"withdrawn\"}\n\n")},
		"no JSON from a server": {say("event: error\ndata: nonsense\n\n"), refuse(http.StatusNotFound)},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, asked, err := subscribe(t, steps, "orders", 9)
			var p *Problem
			if !errors.As(err, &p) || len(asked) != len(steps) {
				t.Errorf("%v after %d connections", err, len(asked))
			}
		})
	}
}

func TestEventFails(t *testing.T) {
	c := serve(t, Options{}, func(w http.ResponseWriter, _ *http.Request) { say("data: 1\n\n")(w) })
	broken := errors.New("the pipe is broken")
	if err := c.Subscribe(t.Context(), Subscription{Filter: "#", Event: func(json.RawMessage) error { return broken }}); !errors.Is(err, broken) {
		t.Error(err)
	}
}

func TestSubjectOf(t *testing.T) {
	for text, want := range map[string]string{
		`{"subject":"a/b","data":{"x":1}}`:                                       `a/b {"x":1}`,
		`{"subject":"a","datacontenttype":"text/plain","data":"x\ny"}`:           "a x\ny",
		`{"subject":"a","datacontenttype":"application/json","data":"x"}`:        `a "x"`,
		`{"subject":"a","datacontenttype":"a/b+json; charset=utf-8","data":"x"}`: `a "x"`,
		`{"subject":"a","data_base64":"AAE="}`:                                   "a \x00\x01",
		`{"type":"org.example.made"}`:                                            "org/example/made ",
		`{"type":"x","spatesubject":"a%2Fb%0A"}`:                                 "a/b\n ",
	} {
		subject, data, err := SubjectOf(json.RawMessage(text))
		if got := subject + " " + string(data); err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", text, got, err, want)
		}
	}
	if _, _, err := SubjectOf(json.RawMessage("{")); err == nil {
		t.Error("half an event is none")
	}
}

// Pauses grow, are bounded, and differ.
func TestPauses(t *testing.T) {
	for n := 1; n < 100; n++ {
		most := min(firstPause<<min(n-1, 20), maxPause)
		if p := pauseFor(n); p > most || p < most/2 {
			t.Errorf("pause %d is %v, at most %v", n, p, most)
		}
	}
}

// FuzzRead reads what no server should send: it must neither panic nor hang, and give out nothing that did not end.
func FuzzRead(f *testing.F) {
	for _, text := range []string{
		"id: a\ndata: {}\n\n", "data: 1\ndata: 2\n\n", "event: error\ndata: {}\n\n", "event: gap\ndata: {\"to\":0}\n\n", ":\r\n\r\n", "data", "\n\n\n", "id\nevent\ndata\n\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		bytesSeen := 0
		s := &following{Subscription: Subscription{Note: func(string) {}, Event: func(m json.RawMessage) error {
			bytesSeen += len(m)
			return nil
		}}}
		if err := s.read(bytes.NewReader(text), func() {}); err == nil {
			t.Error("reading ended without a reason")
		}
		if bytesSeen > len(text) {
			t.Errorf("%d bytes of events in %d bytes", bytesSeen, len(text))
		}
	})
}
