package main

import (
	"context"
	"errors"
	"flag"
	"strings"
	"testing"
)

func TestParseRedisBenchmark(t *testing.T) {
	const heading = `"test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_latency_ms","p99_latency_ms","max_latency_ms"` + "\n"
	got, err := parseRedisBenchmark(heading + `"PING_INLINE","74850.30","0.350","0.072","0.327","0.607","1.231","2.007"` + "\n")
	if want := (replied{rate: 74850.3, p50: 327_000, p99: 1_231_000}); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	for _, out := range []string{"", heading, heading + `"a","b","c","d","e","f","g","h"` + "\n", "\"test\"\n\"x\"\n", "WARNING: x\n"} {
		if got, err := parseRedisBenchmark(out); err == nil {
			t.Errorf("%q gives %+v", out, got)
		}
	}
}

func TestFlags(t *testing.T) {
	var s settings
	n := numbers{1}
	f := newFlags("test", &s, "a", "b")
	f.SetOutput(new(strings.Builder))
	f.Var(&n, "n", "")
	if err := f.Parse([]string{"-peers", "x,y,z", "-n", "3,4", "-seconds", "0.5"}); err != nil {
		t.Fatal(err)
	}
	if s.peers.String() != "x,y,z" || n.String() != "3,4" || s.duration().Milliseconds() != 500 {
		t.Errorf("peers %v, numbers %v, duration %v", s.peers, n, s.duration())
	}
	for _, bad := range []string{"", "0", "-1", "1,", "x"} {
		if err := f.Parse([]string{"-n", bad}); err == nil {
			t.Errorf("-n %q is accepted as %v", bad, n)
		}
	}
}

func TestUnknownNames(t *testing.T) {
	if err := run(context.Background(), []string{"nonsense"}); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("error %v", err)
	}
	for _, args := range [][]string{{"echo", "-peers", "nobody"}, {"resp", "-tests", "nothing"}} {
		if err := run(context.Background(), args); err == nil || !strings.Contains(err.Error(), "is called") {
			t.Errorf("%v: error %v", args, err)
		}
	}
}
