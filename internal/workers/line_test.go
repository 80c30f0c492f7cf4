package workers

import (
	"slices"
	"testing"
)

// take begins what is next; "-" if nothing may be.
func (l *line) take(names map[*visit]string) string {
	v, ok := l.pop()
	if !ok {
		return "-"
	}
	l.begin(v)
	return names[v]
}

func TestSlowVisitsAreNeverAllThatRuns(t *testing.T) {
	l, names := line{apart: true, most: 2}, map[*visit]string{}
	push := func(slow bool, list ...string) {
		for _, n := range list {
			v := &visit{slow: slow}
			names[v] = n
			l.push(v)
		}
	}
	push(true, "W", "X", "Y", "Z")
	push(false, "a", "b", "c")
	var got []string
	next := func() { got = append(got, l.take(names)) }
	next() // one slow one at least
	next()
	next()
	next()
	next() // nobody else is there: one more
	next()
	l.end(true)
	next()
	l.end(true)
	l.end(true)
	push(false, "d", "e")
	next() // the last one was slow: it is the others' turn
	next()
	next()
	if want := []string{"W", "a", "b", "c", "X", "-", "Y", "d", "Z", "e"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if l.len() != 0 {
		t.Errorf("%d are left", l.len())
	}
}

// A line with one place takes turns.
func TestALineWithOnePlaceTakesTurns(t *testing.T) {
	l, names := line{apart: true, most: 1}, map[*visit]string{}
	for _, n := range []string{"X", "Y", "a", "b"} {
		v := &visit{slow: n < "a"}
		names[v] = n
		l.push(v)
	}
	var got []string
	for range 4 {
		n := l.take(names)
		got = append(got, n)
		l.end(n < "a")
	}
	if want := []string{"X", "a", "Y", "b"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
