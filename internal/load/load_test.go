package load

import (
	"context"
	"errors"
	"math"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// bothDrivers runs a test with epoll, where there is one, and with goroutines.
func bothDrivers(t *testing.T, test func(t *testing.T, plain bool)) {
	for _, d := range []struct {
		name  string
		plain bool
	}{{"poll", false}, {"plain", true}} {
		t.Run(d.name, func(t *testing.T) { test(t, d.plain) })
	}
}

func mustRun(t *testing.T, o Options) *Result {
	t.Helper()
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestEchoIsVerified(t *testing.T) {
	address := serve(t, nil, echo)
	bothDrivers(t, func(t *testing.T, plain bool) {
		for _, c := range []struct {
			name                  string
			conns, size, pipeline int
			rate                  float64
		}{
			{"one", 1, 64, 1, 0},
			{"many", 50, 64, 1, 0},
			{"pipeline", 5, 64, 100, 0},
			{"a byte", 3, 1, 10, 0},
			{"a megabyte", 2, 1 << 20, 4, 0},
			{"rate", 10, 64, 2, 2000},
		} {
			t.Run(c.name, func(t *testing.T) {
				r := mustRun(t, Options{
					Address: address, Work: Echo{Size: c.size}, Conns: c.conns, Pipeline: c.pipeline, Rate: c.rate,
					Warmup: 20 * time.Millisecond, Duration: 250 * time.Millisecond, Plain: plain, PID: os.Getpid(),
				})
				if r.Errors != 0 {
					t.Fatalf("%d errors, first: %v", r.Errors, r.FirstError)
				}
				h := &r.Latency[Ordinary]
				counted := r.Requests
				if c.rate > 0 {
					counted += r.Unanswered
				}
				if r.Requests == 0 || h.Count() != counted || c.rate == 0 && r.Unanswered > uint64(c.conns*c.pipeline) || r.Elapsed < 250*time.Millisecond {
					t.Errorf("%d requests, %d unanswered, %d latencies in %v", r.Requests, r.Unanswered, h.Count(), r.Elapsed)
				}
				if due := c.rate * r.Elapsed.Seconds(); c.rate > 0 && math.Abs(float64(r.Requests+r.Unanswered)-due) > 2 {
					t.Errorf("%d requests and %d unanswered, %v were due", r.Requests, r.Unanswered, due)
				}
				if pollable() && (r.CPU <= 0 || r.CPUPerRequest() <= 0) {
					t.Errorf("the process used %v", r.CPU)
				}
			})
		}
	})
}

func TestWrongBytesAreErrors(t *testing.T) {
	address := serve(t, nil, func(c net.Conn) {
		buf := make([]byte, 64)
		for {
			n, err := c.Read(buf)
			if err != nil {
				return
			}
			buf[n-1]++
			_, _ = c.Write(buf[:n])
		}
	})
	bothDrivers(t, func(t *testing.T, plain bool) {
		_, err := Run(t.Context(), Options{Address: address, Work: Echo{}, Conns: 2, Plain: plain})
		if !errors.Is(err, errAllBroken) || !strings.Contains(err.Error(), "came back different") {
			t.Errorf("error %v", err)
		}
	})
}

func TestMoreThanWasAskedForIsAnError(t *testing.T) {
	address := serve(t, nil, func(c net.Conn) {
		_, _ = c.Write(make([]byte, 10_000))
		deaf(c)
	})
	bothDrivers(t, func(t *testing.T, plain bool) {
		_, err := Run(t.Context(), Options{Address: address, Work: RESP{Command: []string{"GET", "a"}}, Plain: plain})
		if !errors.Is(err, errNotRESP) && !errors.Is(err, errLeftOver) {
			t.Errorf("error %v", err)
		}
	})
}

func TestBrokenConnectionsAreCountedAndTheOthersGoOn(t *testing.T) {
	var accepted atomic.Int64
	address := serve(t, nil, func(c net.Conn) {
		if accepted.Add(1)%2 == 0 {
			return
		}
		echo(c)
	})
	bothDrivers(t, func(t *testing.T, plain bool) {
		r := mustRun(t, Options{
			Address: address, Work: Echo{}, Conns: 10, Duration: 200 * time.Millisecond, Plain: plain,
		})
		if r.Errors != 5 || r.FirstError == nil || r.Requests == 0 {
			t.Errorf("%d errors, first %v; %d requests", r.Errors, r.FirstError, r.Requests)
		}
	})
}

func TestNobodyListens(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := ln.Addr().String()
	_ = ln.Close()
	if _, err := Run(t.Context(), Options{Address: address, Work: Echo{}, Conns: 100}); err == nil ||
		!strings.Contains(err.Error(), "connecting to "+address) {
		t.Errorf("error %v", err)
	}
}

// A server that stands still for 300 of 600 ms delays half of the requests
// that were due. Closed-loop, ten requests notice.
func TestOpenLoopDoesNotHideAStall(t *testing.T) {
	bothDrivers(t, func(t *testing.T, plain bool) {
		o := Options{
			Work: Echo{}, Conns: 10, Rate: 1000, Duration: 600 * time.Millisecond, Plain: plain,
			Address: serve(t, nil, stalling(200*time.Millisecond, 500*time.Millisecond)),
		}
		r := mustRun(t, o)
		if p75 := r.Latency[Ordinary].Quantile(0.75); p75 < 50*time.Millisecond {
			t.Errorf("open-loop p75 %v: the stall is hidden", p75)
		}
		o.Rate, o.Address = 0, serve(t, nil, stalling(200*time.Millisecond, 500*time.Millisecond))
		r = mustRun(t, o)
		if p75 := r.Latency[Ordinary].Quantile(0.75); p75 > 50*time.Millisecond {
			t.Errorf("closed-loop p75 %v", p75)
		}
	})
}

func TestWhatIsNeverAnsweredCounts(t *testing.T) {
	address := serve(t, nil, deaf)
	bothDrivers(t, func(t *testing.T, plain bool) {
		r := mustRun(t, Options{
			Address: address, Work: Echo{}, Conns: 3, Rate: 1000, Duration: 200 * time.Millisecond, Plain: plain,
		})
		h := &r.Latency[Ordinary]
		if r.Requests != 0 || math.Abs(float64(r.Unanswered)-1000*r.Elapsed.Seconds()) > 2 || h.Count() != r.Unanswered {
			t.Errorf("%d requests, %d unanswered, %d latencies", r.Requests, r.Unanswered, h.Count())
		}
		if h.Max() < 190*time.Millisecond || h.Quantile(0.5) < 80*time.Millisecond {
			t.Errorf("max %v, p50 %v", h.Max(), h.Quantile(0.5))
		}
	})
}

// A closed-loop run says that its requests are still waiting, and since when.
func TestClosedLoopDoesNotHideADeadServer(t *testing.T) {
	bothDrivers(t, func(t *testing.T, plain bool) {
		r := mustRun(t, Options{
			Address: serve(t, nil, deaf), Work: Echo{}, Conns: 3, Pipeline: 2,
			Warmup: 50 * time.Millisecond, Duration: 100 * time.Millisecond, Plain: plain,
		})
		h := &r.Latency[Ordinary]
		if r.Requests != 0 || r.Unanswered != 6 || r.Oldest < 140*time.Millisecond || h.Max() != r.Oldest || h.Count() != 0 {
			t.Errorf("%d requests, %d unanswered for %v, max %v of %d", r.Requests, r.Unanswered, r.Oldest, h.Max(), h.Count())
		}
		r = mustRun(t, Options{
			Address: serve(t, nil, dying(150*time.Millisecond)), Work: Echo{}, Conns: 3, Duration: 500 * time.Millisecond, Plain: plain,
		})
		if h := &r.Latency[Ordinary]; r.Requests == 0 || r.Unanswered != 3 || h.Max() < 150*time.Millisecond {
			t.Errorf("half way: %d requests, %d unanswered, max %v", r.Requests, r.Unanswered, h.Max())
		}
	})
}

// That the server has closed every connection without an answer is told apart.
func TestServerThatHangsUp(t *testing.T) {
	address := serve(t, nil, func(c net.Conn) { _, _ = c.Read(make([]byte, 64)) })
	bothDrivers(t, func(t *testing.T, plain bool) {
		_, err := Run(t.Context(), Options{Address: address, Work: Echo{}, Plain: plain})
		if !errors.Is(err, ErrBeforeReply) || !errors.Is(err, ErrPeerClosed) {
			t.Errorf("error %v", err)
		}
	})
}

func TestBlockingRequestsAreCountedApart(t *testing.T) {
	const pause = 30 * time.Millisecond
	address := serve(t, nil, pausing(64, pause))
	bothDrivers(t, func(t *testing.T, plain bool) {
		r := mustRun(t, Options{
			Address: address, Work: Echo{BlockEvery: 20}, Conns: 20, Duration: 200 * time.Millisecond, Plain: plain,
		})
		ordinary, blocking := &r.Latency[Ordinary], &r.Latency[Blocking]
		if blocking.Count() == 0 || blocking.Quantile(0.01) < pause {
			t.Errorf("%d blocking requests, p1 %v", blocking.Count(), blocking.Quantile(0.01))
		}
		if ordinary.Count() == 0 || ordinary.Quantile(0.5) > pause/2 {
			t.Errorf("%d ordinary requests, p50 %v", ordinary.Count(), ordinary.Quantile(0.5))
		}
	})
}

func TestTLS(t *testing.T) {
	server, client := certificate(t)
	r := mustRun(t, Options{
		Address: serve(t, server, echo), TLS: client, Work: Echo{}, Conns: 3, Pipeline: 4, Duration: 100 * time.Millisecond,
	})
	if r.Errors != 0 || r.Requests == 0 {
		t.Errorf("%d errors, %d requests", r.Errors, r.Requests)
	}
	_, err := Run(t.Context(), Options{Address: serve(t, nil, echo), TLS: client, Work: Echo{}})
	if err == nil {
		t.Error("TLS with a server that does not speak it")
	}
}

func TestTheContextEndsARun(t *testing.T) {
	address := serve(t, nil, echo)
	bothDrivers(t, func(t *testing.T, plain bool) {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		r, err := Run(ctx, Options{Address: address, Work: Echo{}, Duration: time.Hour, Plain: plain})
		if err != nil || r.Requests == 0 || r.Elapsed > 10*time.Second || r.Rate() == 0 {
			t.Errorf("error %v, result %+v", err, r)
		}
	})
}

func TestProgressIsReported(t *testing.T) {
	address := serve(t, nil, echo)
	bothDrivers(t, func(t *testing.T, plain bool) {
		var got []Progress
		mustRun(t, Options{
			Address: address, Work: Echo{}, Warmup: 700 * time.Millisecond, Duration: 700 * time.Millisecond,
			Plain: plain, progressEvery: 100 * time.Millisecond, Progress: func(p Progress) { got = append(got, p) },
		})
		if len(got) < 2 || got[0].Measuring || !got[len(got)-1].Measuring || got[len(got)-1].Requests == 0 {
			t.Errorf("progress %+v", got)
		}
	})
}

func TestOptionsThatCannotBe(t *testing.T) {
	for _, c := range []struct {
		o    Options
		want error
	}{
		{Options{Work: Echo{}}, errNoAddress},
		{Options{Address: "x"}, errNoWork},
		{Options{Address: "x", Work: Echo{}, Conns: -1}, errNegative},
		{Options{Address: "x", Work: Echo{}, Conns: MaxConns + 1}, errTooMany},
		{Options{Address: "x", Work: Echo{}, Pipeline: MaxPipeline + 1}, errTooMany},
		{Options{Address: "x", Work: Echo{}, Rate: MaxRate + 1}, errTooFast},
	} {
		if _, err := Run(t.Context(), c.o); !errors.Is(err, c.want) {
			t.Errorf("%+v: error %v, want %v", c.o, err, c.want)
		}
	}
}

func TestCPUTimeOfNobody(t *testing.T) {
	address := serve(t, nil, echo)
	_, err := Run(t.Context(), Options{Address: address, Work: Echo{}, Duration: time.Millisecond, PID: 1<<22 + 1})
	if err == nil || !strings.Contains(err.Error(), "CPU time") {
		t.Errorf("error %v", err)
	}
}
