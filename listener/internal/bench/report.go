package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// series is a benchmark with what its runs gave.
type series struct {
	benchmark
	results []result
}

func (s *series) sorted() []time.Duration {
	var all []time.Duration
	for _, r := range s.results {
		all = append(all, r.took)
	}
	slices.Sort(all)
	return all
}

func (s *series) best() time.Duration   { return s.sorted()[0] }
func (s *series) median() time.Duration { return s.sorted()[len(s.results)/2] }

// anon returns the highest peak.
func (s *series) anon() int64 {
	var most int64
	for _, r := range s.results {
		most = max(most, r.anon)
	}
	return most
}

// report prints the table. Ratios are of medians, to the first series.
func report(w io.Writer, entries int, all []*series) error {
	if len(all) == 0 {
		return errors.New("no benchmark chosen")
	}
	reference := all[0]
	fmt.Fprintf(w, "\n%d entries; times in seconds, entries/s of the best run, x = median / median of %s\n\n", entries, reference.name)
	fmt.Fprintf(w, "%-28s %4s %7s %7s %10s %6s %12s  %s\n", "what", "runs", "best", "median", "entries/s", "x", "RssAnon MiB", "promised")
	for _, s := range all {
		ratio := s.median().Seconds() / reference.median().Seconds()
		memory, promise := "-", ""
		if s.anon() > 0 {
			memory = fmt.Sprintf("%.0f", float64(s.anon())/(1<<20))
		}
		if s.maxRatio > 0 {
			promise = fmt.Sprintf("x <= %.2g", s.maxRatio) + verdict(ratio <= s.maxRatio)
		}
		if s.maxAnon > 0 {
			promise += fmt.Sprintf(", RssAnon < %d", s.maxAnon>>20) + verdict(s.anon() < s.maxAnon)
		}
		fmt.Fprintf(w, "%-28s %4d %7.2f %7.2f %10.0f %6.2f %12s  %s\n", s.name, len(s.results),
			s.best().Seconds(), s.median().Seconds(), float64(entries)/s.best().Seconds(), ratio, memory, promise)
	}
	return nil
}

func verdict(kept bool) string {
	if kept {
		return " (kept)"
	}
	return " (MISSED)"
}
