package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/spate-io/spate/internal/load"
)

// benchProgress is the line that shows how far a run has got: rewritten every
// second on a terminal, and one line a second elsewhere.
type benchProgress struct {
	w        io.Writer
	what     string // is counted
	warmup   time.Duration
	duration time.Duration
	terminal bool
	width    int
	before   uint64
}

func newProgress(w io.Writer, what string, warmup, duration time.Duration) *benchProgress {
	p := &benchProgress{w: w, what: what, warmup: warmup, duration: duration}
	if file, ok := w.(*os.File); ok {
		p.terminal = term.IsTerminal(int(file.Fd()))
	}
	return p
}

func (p *benchProgress) show(now load.Progress) {
	line := fmt.Sprintf("warming up: %v of %v", now.Elapsed.Truncate(time.Second), p.warmup)
	if now.Measuring {
		line = fmt.Sprintf("%3.0f %%  %d %s/s  %d errors",
			100*now.Elapsed.Seconds()/p.duration.Seconds(), now.Requests-p.before, p.what, now.Errors)
		p.before = now.Requests
	}
	if !p.terminal {
		fmt.Fprintln(p.w, line)
		return
	}
	fmt.Fprintf(p.w, "\r%-*s", p.width, line)
	p.width = len(line)
}

// clear removes the line from the terminal.
func (p *benchProgress) clear() {
	if p.width > 0 {
		fmt.Fprintf(p.w, "\r%s\r", strings.Repeat(" ", p.width))
	}
}

// report prints what was measured.
func (f *benchFlags) report(w io.Writer, kind, address string, r *load.Result) {
	loop := "closed loop"
	if f.rate > 0 {
		loop = fmt.Sprintf("%.0f per second", f.rate)
	}
	what := fmt.Sprintf("%d B", f.size)
	if kind == "resp" {
		what = fmt.Sprintf("%q with %s", f.command, what)
	}
	fmt.Fprintf(w, "%s %s: %s, %d connections, pipeline %d, %s, %v\n",
		kind, address, what, f.conns, f.pipeline, loop, load.Round(r.Elapsed))
	fmt.Fprintf(w, "  throughput  %.0f requests/s\n", r.Rate())
	h := &r.Latency[load.Ordinary]
	fmt.Fprintf(w, "  latency     p50 %v, p90 %v, p99 %v, p99.9 %v, max %v\n",
		load.Round(h.Quantile(0.5)), load.Round(h.Quantile(0.9)), load.Round(h.Quantile(0.99)),
		load.Round(h.Quantile(0.999)), load.Round(h.Max()))
	fmt.Fprintf(w, "  errors      %d\n", r.Errors)
	fmt.Fprintf(w, "  unanswered  %d%s\n", r.Unanswered, waiting(r.Oldest, f.rate > 0))
	if r.Late > 0 {
		fmt.Fprintf(w, "  late        %d left more than 1ms late because bench itself did not keep up\n", r.Late)
	}
	if f.pid != 0 {
		fmt.Fprintf(w, "  server CPU  %v per request, %.0f %% of one CPU (process %d)\n",
			load.Round(r.CPUPerRequest()), 100*r.CPU.Seconds()/r.Elapsed.Seconds(), f.pid)
	}
}

// waiting says how long the oldest request had waited at the end, if there was one.
func waiting(oldest time.Duration, openLoop bool) string {
	if oldest == 0 {
		return ""
	}
	counts := "counts for the maximum"
	if openLoop {
		counts = "counts as latency"
	}
	return fmt.Sprintf(" (oldest waited %v) at the end; their waiting %s", load.Round(oldest), counts)
}
