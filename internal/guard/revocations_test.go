package guard_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/guard"
)

// TestRevocationsAgainstAModel does what may be done in any order, and asks about everything after each step.
func TestRevocationsAgainstAModel(t *testing.T) {
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		now := time.Unix(1_000_000, 0)
		r := guard.NewRevocations([]string{"t0"}, []string{"p0"}, now, nil)
		model := map[guard.Revoked]time.Time{}
		fixed := map[guard.Revoked]bool{{Token: "t0"}: true, {Principal: "p0"}: true}
		for range 300 {
			what := guard.Revoked{Token: fmt.Sprintf("t%d", rnd.IntN(6))}
			if rnd.IntN(2) == 0 {
				what = guard.Revoked{Principal: fmt.Sprintf("p%d", rnd.IntN(6))}
			}
			switch rnd.IntN(4) {
			case 0, 1:
				until := now.Add(time.Duration(rnd.IntN(100)) * time.Second)
				if err := r.Add(what, now, until); err != nil {
					t.Fatal(err)
				}
				model[what] = until
			case 2:
				want := model[what].After(now)
				if got := r.Lift(what, now); got != want {
					t.Fatalf("seed %d: lifted %v: %v, want %v", seed, what, got, want)
				}
				delete(model, what)
			case 3:
				now = now.Add(time.Duration(rnd.IntN(20)) * time.Second)
				r.Sweep(now)
			}
			in := len(fixed)
			for _, until := range model {
				if until.After(now) {
					in++
				}
			}
			if got := len(r.List(now)); got != in {
				t.Fatalf("seed %d: %d are listed, want %d", seed, got, in)
			}
			for i := range 6 {
				tk, p := guard.Revoked{Token: fmt.Sprintf("t%d", i)}, guard.Revoked{Principal: fmt.Sprintf("p%d", i)}
				wantToken, wantPrincipal := fixed[tk] || model[tk].After(now), fixed[p] || model[p].After(now)
				got, is := r.Of(tk.Token, p.Principal, now)
				if is != (wantToken || wantPrincipal) || wantToken && got != tk || !wantToken && wantPrincipal && got != p {
					t.Fatalf("seed %d: %v %v: %v %v, want %v %v", seed, tk, p, got, is, wantToken, wantPrincipal)
				}
			}
		}
	}
}

// TestRevocationsAreBounded: beyond the limit there is an error, and room again when some have ended.
func TestRevocationsAreBounded(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	r := guard.NewRevocations(nil, nil, now, nil)
	for i := range guard.MaxRevocations {
		if err := r.Add(guard.Revoked{Token: fmt.Sprint(i)}, now, now.Add(time.Duration(i+1)*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	more := guard.Revoked{Token: "one more"}
	if err := r.Add(more, now, now.Add(time.Hour)); !errors.Is(err, guard.ErrRevocationsFull) {
		t.Fatalf("one more than may be: %v", err)
	}
	if err := r.Add(guard.Revoked{Token: "7"}, now, now.Add(time.Hour)); err != nil {
		t.Errorf("one that is in force already: %v", err)
	}
	if err := r.Add(more, now.Add(time.Second), now.Add(time.Hour)); err != nil {
		t.Errorf("when one has ended: %v", err)
	}
	r.Sweep(now.Add(guard.MaxRevocations * time.Second))
	if n := r.Len(); n != 0 {
		t.Errorf("%d are left when all have ended", n)
	}
}

// TestNobodyIsRevokedByNothing: a token without an id, and a client without a principal, are not what "" would revoke.
func TestNobodyIsRevokedByNothing(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	r := guard.NewRevocations([]string{"t"}, nil, now, nil)
	if what, is := r.Of("", "", now); is {
		t.Errorf("nobody is revoked as %v", what)
	}
	if _, is := r.Of("", "t", now); is {
		t.Error("a principal is revoked by a token's id")
	}
	if _, is := r.Of("t", "alice", now); !is {
		t.Error("the token is not revoked")
	}
}
