// Package work holds what the programs that store events in their own process
// have in common: their flags, the events, the measuring, and the line in
// which they tell the runner what came out.
package work

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spate-io/spate/internal/load"
)

// A Result is what one measurement gave, as a line of JSON on standard output.
type Result struct {
	Events  uint64        `json:"events"`
	Elapsed time.Duration `json:"elapsed"`
	CPU     time.Duration `json:"cpu"`    // of this process, user and system
	Others  float64       `json:"others"` // CPUs that others kept busy meanwhile
	P50     time.Duration `json:"p50,omitempty"`
	P99     time.Duration `json:"p99,omitempty"`
	Groups  uint64        `json:"groups,omitempty"` // writes to the log, each with an fsync
}

// Print writes the result for the runner.
func (r *Result) Print() error { return json.NewEncoder(os.Stdout).Encode(r) }

// Flags are what every one of these programs understands.
type Flags struct {
	Work       string
	Dir        string
	Publishers int
	Batch      int // events of one acknowledgement
	Size       int
	Events     int
	Partitions int
	Keys       int
	Codec      string
	Warmup     time.Duration
	Duration   time.Duration
	profile    string
}

// ParseFlags reads the command line.
func ParseFlags() *Flags {
	f := &Flags{}
	flag.StringVar(&f.Work, "work", "publish", "what to do")
	flag.StringVar(&f.Dir, "dir", "", "directory for the data")
	flag.IntVar(&f.Publishers, "publishers", 1, "publishers, each with one acknowledgement under way")
	flag.IntVar(&f.Batch, "batch", 1, "events of one acknowledgement")
	flag.IntVar(&f.Size, "size", 128, "bytes of the data of an event")
	flag.IntVar(&f.Events, "events", 1_000_000, "events to store")
	flag.IntVar(&f.Partitions, "partitions", 8, "partitions of a stream")
	flag.IntVar(&f.Keys, "keys", 1000, "different subjects")
	flag.StringVar(&f.Codec, "codec", "json", "codec of the typed handler: json or raw")
	flag.DurationVar(&f.Warmup, "warmup", time.Second, "time before the measuring")
	flag.DurationVar(&f.Duration, "duration", 3*time.Second, "time of the measuring")
	flag.StringVar(&f.profile, "cpuprofile", "", "file for a CPU profile of what is measured")
	flag.Parse()
	return f
}

// Main runs one of the works and ends the program.
func (f *Flags) Main(works map[string]func(*Flags) error) {
	run, ok := works[f.Work]
	err := fmt.Errorf("no work is called %q", f.Work)
	if ok {
		err = run(f)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", os.Args[0], err)
		os.Exit(1)
	}
}

// A Meter measures between Start and Stop.
type Meter struct {
	Result
	began   time.Time
	cpu     time.Duration
	machine time.Duration
	profile *os.File
}

// Start begins to measure, and to profile if that was asked for.
func (f *Flags) Start() (*Meter, error) {
	m := &Meter{}
	if f.profile != "" {
		var err error
		if m.profile, err = os.Create(f.profile); err != nil {
			return nil, err
		}
		if err := pprof.StartCPUProfile(m.profile); err != nil {
			return nil, err
		}
	}
	m.machine, m.cpu, m.began = Machine(), Own(), time.Now()
	return m, nil
}

// Stop ends the measuring.
func (m *Meter) Stop() error {
	m.Elapsed, m.CPU = time.Since(m.began), Own()-m.cpu
	m.Others = max(0, (Machine()-m.machine-m.CPU).Seconds()/m.Elapsed.Seconds())
	if m.profile != nil {
		pprof.StopCPUProfile()
		return m.profile.Close()
	}
	return nil
}

// Own returns the CPU time of this process.
func Own() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// Machine returns the time that all CPUs together were busy, time that the
// host kept for itself included; zero where there is no /proc/stat. It counts
// in hundredths of a second.
func Machine() time.Duration {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(stat), "\n")
	const hundredth, idle, wait, guest = 10 * time.Millisecond, 3, 4, 8
	var sum time.Duration
	for i, word := range strings.Fields(line)[1:] {
		n, err := strconv.ParseInt(word, 10, 64)
		if err == nil && i != idle && i != wait && i < guest {
			sum += time.Duration(n) * hundredth
		}
	}
	return sum
}

// Publish has publishers work, each with one acknowledgement under way, and
// measures them. The function publishes once and returns when that is
// acknowledged; each publisher has its own.
func (f *Flags) Publish(publisher func(number int) func() error) (*Meter, error) {
	var running sync.WaitGroup
	all := make([]*tally, f.Publishers)
	stop, measured := make(chan struct{}), make(chan struct{})
	for i := range all {
		t := &tally{batch: uint64(f.Batch), publish: publisher(i)}
		all[i] = t
		running.Go(func() { t.run(measured, stop) })
	}
	time.Sleep(f.Warmup)
	m, err := f.Start()
	close(measured)
	if err == nil {
		time.Sleep(f.Duration)
		err = m.Stop()
	}
	close(stop)
	running.Wait()
	if err != nil {
		return nil, err
	}
	var h load.Histogram
	for _, t := range all {
		if t.err != nil {
			return nil, t.err
		}
		m.Events += t.events
		h.Add(&t.latency)
	}
	m.P50, m.P99 = h.Quantile(0.5), h.Quantile(0.99)
	return m, nil
}

// A tally is what one publisher has done while it was measured.
type tally struct {
	batch   uint64
	publish func() error
	events  uint64
	latency load.Histogram
	err     error
}

func (t *tally) run(measured, stop <-chan struct{}) {
	for {
		began := time.Now()
		if t.err = t.publish(); t.err != nil {
			return
		}
		took := time.Since(began)
		select {
		case <-stop:
			return
		default:
		}
		select {
		case <-measured:
			t.events += t.batch
			t.latency.Record(took)
		default:
		}
	}
}
