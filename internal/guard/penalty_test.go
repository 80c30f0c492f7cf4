package guard_test

import (
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/guard"
)

const base = 5 * time.Second

func TestPenaltyDoublesUpToAMinute(t *testing.T) {
	p, now := guard.NewPenalties(nil), noon
	for _, want := range []time.Duration{5, 10, 20, 40, 60, 60} {
		want *= time.Second
		if got := p.Offend("alice", base, now); got != want {
			t.Fatalf("penalty of %v, want %v", got, want)
		}
		if left, refused := p.Until("alice", now.Add(want-1)); !refused || left != 1 {
			t.Errorf("refused %v for another %v at the end of %v", refused, left, want)
		}
		now = now.Add(want)
		if left, refused := p.Until("alice", now); refused || left != 0 {
			t.Errorf("still refused for %v after %v", left, want)
		}
	}
	if _, refused := p.Until("bob", now); refused {
		t.Error("somebody else is refused")
	}
}

func TestPenaltyIsForgottenAfterTwiceItsLengthInGoodStanding(t *testing.T) {
	for _, c := range []struct{ good, want time.Duration }{{20*time.Second - 1, 20 * time.Second}, {20 * time.Second, base}} {
		p := guard.NewPenalties(nil)
		p.Offend("alice", base, noon)
		p.Offend("alice", base, noon.Add(5*time.Second)) // 10 s, ends at 15 s
		if got := p.Offend("alice", base, noon.Add(15*time.Second+c.good)); got != c.want {
			t.Errorf("penalty of %v after %v in good standing, want %v", got, c.good, c.want)
		}
	}
}

func TestConnectionsCutTogetherAreOneOffence(t *testing.T) {
	p := guard.NewPenalties(nil)
	for i := range 10 {
		now := noon.Add(time.Duration(i) * time.Millisecond)
		if got, want := p.Offend("alice", base, now), base-time.Duration(i)*time.Millisecond; got != want {
			t.Fatalf("the cut of connection %d refuses for %v, want the %v that are left", i, got, want)
		}
	}
	if got := p.Offend("alice", base, noon.Add(base)); got != 2*base {
		t.Errorf("the next offence costs %v, want %v", got, 2*base)
	}
}

func TestPenaltyBase(t *testing.T) {
	p := guard.NewPenalties(nil)
	if got := p.Offend("a", 0, noon); got != 0 || p.Len() != 0 {
		t.Errorf("no base costs %v", got)
	}
	if got := p.Offend("b", 2*time.Minute, noon); got != 2*time.Minute {
		t.Errorf("a base of 2 min costs %v", got)
	}
	if got := p.Offend("b", 2*time.Minute, noon.Add(2*time.Minute)); got != 2*time.Minute {
		t.Errorf("a second offence with a base of 2 min costs %v, want no less and no more", got)
	}
	p.Offend("c", time.Second, noon)
	if got := p.Offend("c", 30*time.Second, noon.Add(time.Second)); got != 30*time.Second {
		t.Errorf("an offence in a stricter namespace costs %v, want its base", got)
	}
}

func TestPenaltiesRememberABoundedNumberTheNewest(t *testing.T) {
	const bound = 65536
	p := guard.NewPenalties(nil)
	p.Offend("first", base, noon)
	p.Offend("second", base, noon)
	p.Offend("first", base, noon.Add(base)) // renewed: now the newest
	now := noon.Add(base)
	for i := range bound - 1 {
		p.Offend(strconv.Itoa(i), base, now)
	}
	if p.Len() != bound {
		t.Errorf("%d remembered, want %d", p.Len(), bound)
	}
	if _, refused := p.Until("first", now); !refused {
		t.Error("a renewed offence was forgotten before an older one")
	}
	if got := p.Offend("second", base, now); got != base {
		t.Errorf("the oldest costs %v, want it forgotten", got)
	}
	p.Sweep(now.Add(3*base - 1))
	if p.Len() != bound {
		t.Errorf("Sweep left %d of %d that still count", p.Len(), bound)
	}
	p.Sweep(now.Add(time.Hour))
	if p.Len() != 0 {
		t.Errorf("Sweep left %d that are over", p.Len())
	}
}

func TestPenaltiesOfManyAtOnce(t *testing.T) {
	p := guard.NewPenalties(nil)
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 100 {
				p.Offend("shared", base, noon)
				p.Offend(strconv.Itoa(g*100+i), base, noon)
				p.Until("shared", noon)
				p.Sweep(noon)
			}
		})
	}
	all.Wait()
	if left, _ := p.Until("shared", noon); left != base || p.Len() != 801 {
		t.Errorf("%v left and %d keys, want %v and 801", left, p.Len(), base)
	}
}

func TestPenaltiesSayWhetherAnybodyIsRemembered(t *testing.T) {
	p := guard.NewPenalties(nil)
	now := time.Unix(100, 0)
	if p.Any() {
		t.Error("somebody is remembered in an empty box")
	}
	p.Offend("a", time.Second, now)
	if !p.Any() {
		t.Error("nobody is remembered after an offence")
	}
	p.Sweep(now.Add(time.Hour))
	if p.Any() {
		t.Error("somebody is remembered for ever")
	}
}
