package main

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spate-io/spate/internal/load"
)

// median returns the middle of the values, or the mean of the middle two.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	v := slices.Sorted(slices.Values(values))
	mid := len(v) / 2
	if len(v)%2 == 1 {
		return v[mid]
	}
	return (v[mid-1] + v[mid]) / 2
}

// ratio returns the median of a[i]/b[i]: of what was measured in one round.
func ratio(a, b []float64) float64 {
	var r []float64
	for i := range min(len(a), len(b)) {
		if b[i] != 0 {
			r = append(r, a[i]/b[i])
		}
	}
	return median(r)
}

// column returns one field of every measurement.
func column[T any](all []T, field func(T) float64) []float64 {
	out := make([]float64, len(all))
	for i, m := range all {
		out[i] = field(m)
	}
	return out
}

// A table is printed as Markdown, with columns that line up.
type table struct {
	rows [][]string
}

func (t *table) add(cells ...any) {
	row := make([]string, len(cells))
	for i, c := range cells {
		switch c := c.(type) {
		case float64:
			row[i] = fmt.Sprintf("%.2f", c)
		case time.Duration:
			row[i] = load.Round(c).String()
		default:
			row[i] = fmt.Sprint(c)
		}
	}
	t.rows = append(t.rows, row)
}

// String returns the table; its first row is the heading.
func (t *table) String() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 1, ' ', 0)
	for i, row := range t.rows {
		fmt.Fprintf(w, "| %s |\n", strings.Join(row, "\t| "))
		if i == 0 {
			fmt.Fprintf(w, "|%s---|\n", strings.Repeat("---\t|", len(row)-1))
		}
	}
	_ = w.Flush()
	return b.String()
}
