package main

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

var (
	demoFor     = flag.Duration("demo", 2*time.Second, "how long TestDemoSoak runs")
	demoDevices = flag.Int("demo-devices", 5, "how many devices its demonstration has")
)

// What may be more in the end than after the first minute. Pebble's memtable fills and empties, and the collector is lazy.
const (
	spareMemory      = 16 << 20
	spareGoroutines  = 30 // devices that connect, handlers at work
	spareDescriptors = 15 // devices that were away, tables of the store
)

// demoFigures are what /metrics says of a demonstration, by name.
type demoFigures map[string]float64

// figuresOf reads some figures of a node.
func figuresOf(t *testing.T, url string) demoFigures {
	t.Helper()
	resp, err := http.Get(url + "/metrics") //nolint:gosec,noctx // our own node, on loopback
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	f := demoFigures{}
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if n, err := strconv.ParseFloat(value, 64); err == nil {
			f[name] = n
		}
	}
	return f
}

// A demonstration does not grow: after a first tenth of the time, memory, goroutines and descriptors stay what they are. `make demo-soak` runs the real one, with 200
// devices, for ten minutes; by default it is a small one in which time flies: the same 600 seconds of the simulation.
func TestDemoSoak(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var errs bytes.Buffer
	cmd := exec.Command(self)
	cmd.Args = []string{"spate", "demo", "--devices", strconv.Itoa(*demoDevices), "--seed", "1", "--every", (*demoFor / 600).String(), "--listen", "mqtt://127.0.0.1:0", "--listen", "http://127.0.0.1:0"}
	cmd.Env = append(os.Environ(), "TMPDIR="+t.TempDir())
	out := &output{}
	cmd.Stdout, cmd.Stderr = out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Signal(os.Interrupt)
		if err := cmd.Wait(); err != nil || errs.Len() > 0 {
			t.Errorf("the demonstration ended with %v and has logged %s", err, errs.String())
		}
		text, _ := out.look()
		lines := strings.Split(strings.TrimSpace(text), "\n")
		t.Logf("the last it said: %s", lines[len(lines)-1])
	}()
	url := ""
	for deadline := time.After(patience); url == ""; {
		text, more := out.look()
		if m := regexp.MustCompile(`curl -s (\S+)/metrics`).FindStringSubmatch(text); m != nil {
			url = m[1]
			break
		}
		select {
		case <-more:
		case <-deadline:
			t.Fatalf("it says no more than %q, and %q", text, errs.String())
		}
	}
	soakDemo(t, url)
}

// soakDemo compares the figures of the second tenth of the time with those of the last.
func soakDemo(t *testing.T, url string) {
	const tenth = 6 // samples
	every := *demoFor / (10 * tenth)
	ticks := time.NewTicker(every)
	defer ticks.Stop()
	var samples []demoFigures
	for range 10 * tenth {
		<-ticks.C
		samples = append(samples, figuresOf(t, url))
	}
	clients, received := median(samples, "spate_mqtt_clients"), samples[len(samples)-1][`spate_mqtt_messages_received_total{qos="1"}`]
	if clients < 0.6*float64(*demoDevices) || received == 0 { // a device is away for 2 % of the time
		t.Errorf("the devices are not there, or say nothing: %v clients, %v messages", clients, received)
	}
	memory := float64(spareMemory)
	if *demoFor < time.Minute {
		memory = 4 * spareMemory // so soon after the start, caches and memtables are still filling, and the race detector keeps as much again
	}
	for _, w := range []struct {
		name  string
		spare float64
	}{
		{"process_resident_memory_bytes", memory}, {"go_goroutines", spareGoroutines}, {"process_open_fds", spareDescriptors},
	} {
		before, after := median(samples[tenth:2*tenth], w.name), median(samples[9*tenth:], w.name)
		t.Logf("%s: %s after %v, %s after %v", w.name, shown(before), 2*tenth*every, shown(after), *demoFor)
		if before == 0 || after > before+w.spare {
			t.Errorf("%s has grown from %s to %s", w.name, shown(before), shown(after))
		}
	}
}

func median(samples []demoFigures, name string) float64 {
	var all []float64
	for _, f := range samples {
		all = append(all, f[name])
	}
	slices.Sort(all)
	return all[len(all)/2]
}

func shown(n float64) string {
	if n > 1<<20 {
		return fmt.Sprintf("%.1f MiB", n/(1<<20))
	}
	return fmt.Sprintf("%.0f", n)
}
