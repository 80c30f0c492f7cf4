package loadtest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Spread is the least, the median and the most of what clients have.
type Spread[T cmp.Ordered] struct {
	Of                  int // clients; 0: nobody has any
	Least, Median, Most T
}

func spread[T cmp.Ordered](values []T) (s Spread[T]) {
	if s.Of = len(values); s.Of == 0 {
		return s
	}
	slices.Sort(values)
	s.Least, s.Median, s.Most = values[0], values[len(values)/2], values[len(values)-1]
	return s
}

// View is what slow clients have seen by some time. Messages, Bytes and Newest count from the beginning.
type View struct {
	At        time.Duration
	Clients   int
	Connected int
	Gone      int // sent away for good
	Messages  Spread[int64]
	Bytes     Spread[int64]
	Newest    Spread[int64]         // number of the newest message
	Age       Spread[time.Duration] // of what was read since the last View, when it was read
	Cut       map[string]int64      // connections lost, by reason
	Failed    map[string]int64      // attempts to connect, by reason
}

func look(readers []*reader, at time.Duration) View {
	v := View{At: at, Clients: len(readers), Cut: map[string]int64{}, Failed: map[string]int64{}}
	var messages, bytes, newest []int64
	var ages []time.Duration
	for _, r := range readers {
		r.change(func(s *seen) {
			if s.connected {
				v.Connected++
			}
			if s.gone {
				v.Gone++
			}
			messages, bytes = append(messages, s.messages), append(bytes, s.bytes)
			if s.numbered {
				newest = append(newest, s.newest)
			}
			if s.aged {
				ages = append(ages, s.age)
			}
			s.aged = false
			sum(v.Cut, s.cut)
			sum(v.Failed, s.failed)
		})
	}
	v.Messages, v.Bytes, v.Newest, v.Age = spread(messages), spread(bytes), spread(newest), spread(ages)
	return v
}

func sum(into, from map[string]int64) {
	for name, n := range from {
		into[name] += n
	}
}

// String is the view in one line; each triple is the least, the median and the most of the clients.
func (v View) String() string {
	parts := []string{
		fmt.Sprintf("%4.0fs", v.At.Seconds()),
		fmt.Sprintf("%d of %d connected", v.Connected, v.Clients),
		fmt.Sprintf("messages %d/%d/%d", v.Messages.Least, v.Messages.Median, v.Messages.Most),
		fmt.Sprintf("bytes %d/%d/%d", v.Bytes.Least, v.Bytes.Median, v.Bytes.Most),
	}
	if n := v.Newest; n.Of > 0 {
		parts = append(parts, fmt.Sprintf("newest %d/%d/%d", n.Least, n.Median, n.Most))
	}
	if a := v.Age; a.Of > 0 {
		parts = append(parts, fmt.Sprintf("age %.3g/%.3g/%.3g s", a.Least.Seconds(), a.Median.Seconds(), a.Most.Seconds()))
	}
	if len(v.Cut) > 0 {
		parts = append(parts, fmt.Sprintf("cut %s", reasons(v.Cut)))
	}
	if len(v.Failed) > 0 {
		parts = append(parts, fmt.Sprintf("failed %s", reasons(v.Failed)))
	}
	if v.Gone > 0 {
		parts = append(parts, fmt.Sprintf("%d sent away for good", v.Gone))
	}
	return strings.Join(parts, "  ")
}
