package swarm_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/loadtest/swarm"
)

func TestLedgerAgreesWithAList(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	for range 50 {
		l := swarm.NewLedger()
		var at []int64 // the position of each client
		told, top := int64(-1), int64(-1)
		reach := []int64{2, 50, 5000}[r.IntN(3)]
		for step := range 2000 {
			switch i := r.IntN(max(len(at), 1)); {
			case len(at) == 0 || r.IntN(20) == 0 && len(at) < 30:
				p := int64(-1)
				if len(at) > 0 {
					p = slices.Min(at) + r.Int64N(reach)
				} else if top >= 0 {
					p = top + r.Int64N(reach)
				}
				if !l.Join(p) {
					t.Fatalf("seed %d, step %d: %d may not join %d", seed, step, p, at)
				}
				at = append(at, p)
				top = max(top, p)
			case r.IntN(25) == 0:
				l.Leave(at[i])
				at = slices.Delete(at, i, i+1)
			default:
				to := at[i] + 1 + r.Int64N(reach)
				if !l.Move(at[i], to) {
					t.Fatalf("seed %d, step %d: %d may not move to %d", seed, step, at[i], to)
				}
				at[i] = to
				top = max(top, to)
			}
			want, news := int64(0), false
			if len(at) > 0 {
				want = slices.Min(at)
				news = want > told
			}
			got, ok := l.News()
			if ok != news || ok && got != want {
				t.Fatalf("seed %d, step %d: everybody has %d (%v), want %d (%v) of %d", seed, step, got, ok, want, news, at)
			}
			if news {
				told = want
			}
		}
	}
}

func TestLedgerForgetsWhoFallsTooFarBehind(t *testing.T) {
	l := swarm.NewLedger()
	l.Join(-1)
	l.Join(-1)
	const far = 3 * swarm.MaxPositions
	l.Move(-1, 0)
	if !l.Move(0, 10) || l.Move(10, far) {
		t.Fatal("a jump beyond the ring is followed at once")
	}
	if !l.Join(far) {
		t.Fatal("who is ahead may not come back")
	}
	if p, ok := l.News(); !ok || p != far {
		t.Errorf("everybody has %d, %v", p, ok)
	}
	if l.Move(-1, 5) || l.Join(5) {
		t.Error("who is far behind counts")
	}
	l.Leave(-1)
	if !l.Join(far + 1) {
		t.Error("who has caught up does not count")
	}
	l.Leave(far)
	if p, ok := l.News(); !ok || p != far+1 {
		t.Errorf("everybody has %d, %v", p, ok)
	}
}

func TestSequenceAgreesWithASet(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	for range 200 {
		var s swarm.Sequence
		first := r.Int64N(1000)
		seen, highest := map[int64]bool{}, first-1
		for step := range 500 {
			n := max(highest+r.Int64N(8)-4, 0) // within what it remembers
			if step == 0 {
				n = first
			}
			gap, disorder, late, duplicate := s.Take(n)
			want := [4]any{max(n-highest-1, 0), n < highest && !seen[n], n < highest && !seen[n] && n > first, seen[n]}
			if got := [4]any{gap, disorder, late, duplicate}; got != want {
				t.Fatalf("seed %d, step %d: %d after %d is %v, want %v", seed, step, n, highest, got, want)
			}
			seen[n] = true
			highest = max(highest, n)
		}
	}
}

func TestSequenceAfterALongGap(t *testing.T) {
	for _, skip := range []int64{62, 63, 64, 65, 1000, 1 << 60} {
		var s swarm.Sequence
		s.Take(0)
		if gap, _, _, _ := s.Take(skip + 1); gap != skip {
			t.Errorf("%d are missing, want %d", gap, skip)
		}
		if _, _, late, duplicate := s.Take(skip); !late || duplicate {
			t.Errorf("after a gap of %d its last is not late", skip)
		}
	}
}

func TestBackoffIsTheOfficialClients(t *testing.T) {
	r := &swarm.Reconnect{Delay: time.Second, DelayMax: 5 * time.Second, Jitter: 0.5}
	for _, c := range []struct {
		fails  uint8
		chance float64
		want   time.Duration
	}{
		{0, 0, 500 * time.Millisecond}, {0, 0.5, time.Second}, {0, 1, 1500 * time.Millisecond}, {1, 0.5, 2 * time.Second},
		{2, 0.5, 4 * time.Second}, {2, 1, 5 * time.Second}, {3, 0, 4 * time.Second}, {3, 0.5, 5 * time.Second}, {62, 1, 5 * time.Second},
	} {
		if got := swarm.Wait(r, c.fails, c.chance); got != c.want {
			t.Errorf("after %d failures, with a chance of %v: %v, want %v", c.fails, c.chance, got, c.want)
		}
	}
}

func TestAnIdleClientIsSmall(t *testing.T) {
	if swarm.ClientSize > 400 {
		t.Errorf("a client is %d bytes", swarm.ClientSize)
	}
}
