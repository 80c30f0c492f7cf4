package hook_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/hook"
)

func TestBreakerOpensAfterARowAndClosesAfterOneAnswer(t *testing.T) {
	b, now := hook.NewBreaker(3, time.Second), time.Unix(0, 0)
	call := func(word string) {
		t.Helper()
		ok, decides := b.Begin(now)
		if !ok {
			t.Fatalf("a call is not made: %v", b.State())
		}
		b.End(now, decides, word)
	}
	for range 10 { // an answer between them breaks the row, a call given up neither breaks nor adds to it
		call("away")
		call("unknown")
		call("away")
		call("there")
	}
	call("away")
	call("away")
	call("away")
	if ok, _ := b.Begin(now.Add(time.Second - 1)); ok || b.State() != hook.Open {
		t.Fatalf("after three calls in a row that found nobody one is made: %v", b.State())
	}
	now = now.Add(time.Second)
	ok, decides := b.Begin(now)
	if second, _ := b.Begin(now); !ok || !decides || second || b.State() != hook.Probing {
		t.Fatalf("made %v, decides %v, a second one made %v: %v", ok, decides, second, b.State())
	}
	b.End(now, true, "unknown") // its client has left: the next one tries, at once
	call("away")
	if b.Lets(now) || b.State() != hook.Open {
		t.Fatalf("after a try that found nobody: %v", b.State())
	}
	now = now.Add(time.Second)
	call("there")
	if b.State() != hook.Closed {
		t.Fatalf("after an answer: %v", b.State())
	}
}

// Whatever the calls find, and in whatever order they end: of an open breaker at most one call is under way that began
// since, and it is never open for longer than its pause without one that may try.
func TestBreakerNeverShutsForGood(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	b, now := hook.NewBreaker(3, time.Second), time.Unix(0, 0)
	var under []bool // whether each decides
	for range 100_000 {
		switch n := r.IntN(3); {
		case n == 0:
			now = now.Add(time.Duration(r.IntN(400)) * time.Millisecond)
		case n == 1 && len(under) < 10:
			if ok, decides := b.Begin(now); ok {
				under = append(under, decides)
			}
		case len(under) > 0:
			i := r.IntN(len(under))
			b.End(now, under[i], []string{"there", "away", "unknown"}[r.IntN(3)])
			under = append(under[:i], under[i+1:]...)
		}
		deciding := 0
		for _, d := range under {
			if d {
				deciding++
			}
		}
		if (b.State() == hook.Probing) != (deciding == 1) || deciding > 1 {
			t.Fatalf("%v with %d calls that decide", b.State(), deciding)
		}
		if b.State() == hook.Open && !b.Lets(now.Add(time.Second)) {
			t.Fatal("open for longer than its pause")
		}
	}
}
