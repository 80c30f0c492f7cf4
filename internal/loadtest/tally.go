package loadtest

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/streamweir/weir/internal/loadtest/report"
	"github.com/streamweir/weir/internal/loadtest/swarm"
)

// tally is what one group has counted. The state in each span is the present one.
type tally struct {
	name     string
	all      swarm.Snapshot // since it was added
	measured swarm.Snapshot // while measuring
	second   swarm.Snapshot // since the last point of the series
}

func newTally(name string) *tally {
	t := &tally{name: name}
	for _, span := range []*swarm.Snapshot{&t.all, &t.measured, &t.second} {
		reset(span, name)
	}
	return t
}

func reset(span *swarm.Snapshot, name string) {
	*span = swarm.Snapshot{}
	swarm.Merge(span, swarm.Snapshot{Group: name, Newest: -1})
}

// take adds what was counted since the last take.
func (t *tally) take(s swarm.Snapshot, measuring bool) {
	spans := []*swarm.Snapshot{&t.all, &t.second}
	if measuring {
		spans = append(spans, &t.measured)
	}
	for _, span := range spans {
		swarm.Merge(span, s)
		span.Asked, span.Ready, span.Connecting, span.Waiting = s.Asked, s.Ready, s.Connecting, s.Waiting
		span.Leaving, span.Left, span.Gone = s.Leaving, s.Left, s.Gone
	}
}

// settled reports whether nobody is on the way in any more.
func (t *tally) settled() bool { return t.all.Asked > 0 && t.all.Ready+t.all.Gone >= t.all.Asked }

// lost is how many times a ready client was cut, by whomever.
func (t *tally) lost() int64 { return total(t.all.Lost) }

// missing is how many numbers never came to a client that saw later ones.
func (t *tally) missing() int64 { return max(t.all.Gaps-t.all.Disorder, 0) }

func total(counts map[string]int64) (n int64) {
	for _, c := range counts {
		n += c
	}
	return n
}

// reasons says counts in words, the most first: "990 refused, 10 timeout".
func reasons(counts map[string]int64) string {
	names := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		if counts[a] != counts[b] {
			return int(counts[b] - counts[a])
		}
		return strings.Compare(a, b)
	})
	said := make([]string, len(names))
	for i, name := range names {
		said[i] = thousands(counts[name]) + " " + name
	}
	return strings.Join(said, ", ")
}

// counts are the group's own lines of the result; label names the group if there are several.
func (t *tally) counts(label string) (list []report.Count) {
	for _, of := range []struct {
		what string
		by   map[string]int64
	}{{"connect failed: ", t.all.Failures}, {"connection lost: ", t.all.Lost}} {
		for _, reason := range slices.Sorted(maps.Keys(of.by)) {
			list = append(list, report.Count{Name: label + of.what + reason, Value: of.by[reason]})
		}
	}
	return list
}

// checks are the lines of the result about what was delivered.
func (t *tally) checks(label string) []report.Count {
	return []report.Count{
		{Name: label + "deliveries, all", Value: t.all.Deliveries},
		{Name: label + "gaps", Value: t.missing()},
		{Name: label + "disorder", Value: t.all.Disorder},
		{Name: label + "duplicates", Value: t.all.Duplicates},
	}
}

// thousands writes a number as people read it: 1,234,567.
func thousands(n int64) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
