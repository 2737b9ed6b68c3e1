package main

import (
	"flag"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// settings are the flags that the benchmarks share.
type settings struct {
	rounds    int
	seconds   float64
	warmup    float64
	peers     list
	serverCPU int
	loadCPU   int
	profile   string
	perf      string
	verbose   bool
	nice      int
	dir       string
}

// newFlags returns a flag set with the shared flags.
func newFlags(name string, s *settings, peers ...string) *flag.FlagSet {
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	s.peers = peers
	f.IntVar(&s.rounds, "rounds", 5, "rounds, in each of which every peer has its turn")
	f.Float64Var(&s.seconds, "seconds", 3, "seconds of each measurement")
	f.Float64Var(&s.warmup, "warmup", 1, "seconds before each measurement")
	f.Var(&s.peers, "peers", "peers, separated by commas; the first is compared with the others")
	f.IntVar(&s.serverCPU, "server-cpu", 0, "CPU of the server")
	f.IntVar(&s.loadCPU, "load-cpu", 1, "CPU of the load")
	f.StringVar(&s.profile, "profile", "", "directory for CPU profiles of the servers written in Go")
	f.StringVar(&s.perf, "perf", "", "directory for recordings of the servers by perf")
	f.IntVar(&s.nice, "nice", 0, "priority of servers and load; below 0, as root, on a machine that is shared")
	f.StringVar(&s.dir, "dir", "", "directory on a disk, for what is stored; default the one for temporary files")
	f.BoolVar(&s.verbose, "v", false, "print each measurement as it ends")
	return f
}

func (s *settings) duration() time.Duration { return seconds(s.seconds) }
func (s *settings) warm() time.Duration     { return seconds(s.warmup) }

func seconds(f float64) time.Duration { return time.Duration(f * float64(time.Second)) }

// list is a flag of words, separated by commas.
type list []string

func (l *list) String() string { return strings.Join(*l, ",") }

// Set replaces the list.
func (l *list) Set(text string) error {
	*l = strings.Split(text, ",")
	return nil
}

// numbers is a flag of positive numbers, separated by commas.
type numbers []int

func (n *numbers) String() string {
	words := make([]string, len(*n))
	for i, v := range *n {
		words[i] = strconv.Itoa(v)
	}
	return strings.Join(words, ",")
}

// Set replaces the list.
func (n *numbers) Set(text string) error {
	var all numbers
	for word := range strings.SplitSeq(text, ",") {
		v, err := strconv.Atoi(word)
		if err != nil || v < 1 {
			return fmt.Errorf("%q is not a positive number", word)
		}
		all = append(all, v)
	}
	*n = all
	return nil
}
