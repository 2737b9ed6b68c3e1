package main

import (
	"context"
	"fmt"
	"os"
)

// prepare builds the peers, and pins this program to its CPU.
func (s *settings) prepare(ctx context.Context) error {
	if err := build(ctx, s.peers...); err != nil {
		return err
	}
	fmt.Println(machine())
	return pin(s.loadCPU, s.nice)
}

// note prints a measurement as it ends, if that is wanted.
func (s *settings) note(format string, args ...any) {
	if s.verbose {
		fmt.Fprintf(os.Stderr, format+"\n", args...)
	}
}

// inTurns measures every peer in every round, and returns the measurements of
// each, by round.
func inTurns[T any](s *settings, measure func(name string, round int) (T, error)) (map[string][]T, error) {
	got := make(map[string][]T)
	for round := range s.rounds {
		for _, name := range s.peers {
			m, err := measure(name, round)
			if err != nil {
				return nil, fmt.Errorf("measuring %s: %w", name, err)
			}
			got[name] = append(got[name], m)
		}
	}
	return got, nil
}
