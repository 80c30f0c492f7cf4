package lately_test

import (
	"slices"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/survey/lately"
)

// An entry that is larger than all may be is not kept and drives no other out; the oldest
// give way to one that fits, and the account hears of all.
func TestLogKeepsWhatFits(t *testing.T) {
	var held int64
	l := lately.Log[int]{
		Most: 3, Bytes: 100, For: time.Hour, Cost: func(n *int) int64 { return int64(*n) },
		At: func(*int) time.Time { return time.Unix(0, 0) }, Hold: func(n int64) { held += n },
	}
	for _, n := range []int{40, 101, 30, 20, 10} {
		l.Add(n)
	}
	if got := l.Newest(time.Unix(0, 0)); !slices.Equal(got, []int{10, 20, 30}) || held != 60 {
		t.Errorf("%v, %d bytes held", got, held)
	}
	if l.Add(95); l.Len() != 1 || held != 95 {
		t.Errorf("%d entries, %d bytes held", l.Len(), held)
	}
	if l.Expire(time.Unix(3601, 0)); l.Len() != 0 || held != 0 {
		t.Errorf("%d entries, %d bytes held when their time is over", l.Len(), held)
	}
}
