package rig

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
)

// Median of values, the mean of the two in the middle if their number is even; 0 of none.
func Median(values []float64) float64 {
	s := slices.Sorted(slices.Values(values))
	n := len(s)
	switch {
	case n == 0:
		return 0
	case n%2 == 1:
		return s[n/2]
	}
	return (s[n/2-1] + s[n/2]) / 2
}

// Column is a figure of every run.
func Column[T any](runs []T, figure func(T) float64) []float64 {
	out := make([]float64, len(runs))
	for i, r := range runs {
		out[i] = figure(r)
	}
	return out
}

// Pairwise combines a figure of run i of a with that of run i of b. The two have the same number of runs.
func Pairwise[T any](a, b []T, combine func(a, b T) float64) []float64 {
	out := make([]float64, len(a))
	for i := range a {
		out[i] = combine(a[i], b[i])
	}
	return out
}

// Raw prints one run's result in a line, so that the output can be evaluated again.
func Raw(w io.Writer, run int, variant string, result any) error {
	line, err := json.Marshal(result)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "raw %d %s %s\n", run, variant, line)
	return err
}
