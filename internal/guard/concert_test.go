package guard_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/guard"
)

var dawn = time.UnixMilli(1_900_000_000_000)

// exchange has one node take note of all that another knows, page by page, and returns how much was news.
func exchange(t *testing.T, from, to *guard.Revocations, now time.Time, size int) (news int) {
	t.Helper()
	for after, more := (guard.Revoked{}), true; more; {
		var list []guard.Revocation
		list, more = from.Page(after, now, size)
		b := guard.AppendRevocations(nil, list)
		if len(b) > size {
			t.Fatalf("a page of %d bytes has %d", size, len(b))
		}
		got, err := guard.ParseRevocations(b, guard.MaxRevocations)
		if err != nil || len(got) != len(list) {
			t.Fatalf("%d of %d are read, %v", len(got), len(list), err)
		}
		for _, v := range got {
			is, err := to.Note(v, now)
			if err != nil {
				t.Fatal(err)
			}
			if is {
				news++
			}
			after = v.Revoked
		}
	}
	return news
}

// Nodes that revoke and lift while they cannot hear each other agree once they have told each other all, in whichever order:
// the later one counts, and what was lifted is not brought back.
func TestRevocationsAgreeOnceNodesHaveTalked(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for round := range 50 {
		nodes := []*guard.Revocations{guard.NewRevocations(nil, nil, dawn, nil), guard.NewRevocations(nil, nil, dawn, nil), guard.NewRevocations(nil, nil, dawn, nil)}
		last := make(map[guard.Revoked]bool)
		now := dawn
		for range 40 {
			now = now.Add(2 * time.Millisecond)
			what := guard.Revoked{Token: fmt.Sprint(r.IntN(6))}
			if r.IntN(2) == 0 {
				what = guard.Revoked{Principal: fmt.Sprint(r.IntN(6))}
			}
			n := nodes[r.IntN(len(nodes))]
			if r.IntN(3) > 0 {
				if err := n.Add(what, now, now.Add(time.Hour)); err != nil {
					t.Fatal(err)
				}
				last[what] = true
			} else if _, was := n.Withdraw(what, now); was {
				last[what] = false
			}
		}
		for range 2 {
			for _, i := range r.Perm(3) {
				for _, k := range r.Perm(3) {
					exchange(t, nodes[i], nodes[k], now, 60)
				}
			}
		}
		for i, n := range nodes {
			for what, want := range last {
				if _, is := n.Of(what.Token, what.Principal, now); is != want {
					t.Fatalf("round %d: node %d says %t of %+v", round, i, is, what)
				}
			}
			if a, b := n.List(now), nodes[0].List(now); !slices.EqualFunc(a, b, func(a, b guard.Revocation) bool { return a.Revoked == b.Revoked }) {
				t.Fatalf("round %d: node %d lists %v, another %v", round, i, a, b)
			}
			if n := n.List(now.Add(2 * time.Hour)); len(n) != 0 {
				t.Fatalf("%v are in force when they have ended", n)
			}
		}
	}
}

// A node that has as many as may be takes no more from others, and says so.
func TestRevocationsOfOthersAreBounded(t *testing.T) {
	r := guard.NewRevocations(nil, nil, dawn, nil)
	for i := range guard.MaxRevocations {
		if news, err := r.Note(guard.Revocation{Revoked: guard.Revoked{Token: fmt.Sprint(i)}, Since: dawn, Until: dawn.Add(time.Hour)}, dawn); !news || err != nil {
			t.Fatal(i, news, err)
		}
	}
	v := guard.Revocation{Revoked: guard.Revoked{Token: "one more"}, Since: dawn, Until: dawn.Add(time.Hour)}
	if _, err := r.Note(v, dawn); err == nil {
		t.Error("one too many is taken")
	}
	if news, err := r.Note(guard.Revocation{Revoked: v.Revoked, Until: dawn}, dawn); news || err != nil {
		t.Errorf("what has ended is taken: %t, %v", news, err)
	}
	r.Sweep(dawn.Add(2 * time.Hour))
	if r.Len() != 0 {
		t.Errorf("%d are kept when all have ended", r.Len())
	}
}

// FuzzParseRevocations: what is read is no larger than its bytes allow, and is what it is read as.
func FuzzParseRevocations(f *testing.F) {
	list := []guard.Revocation{
		{Revoked: guard.Revoked{Token: "t"}, Since: dawn, Until: dawn.Add(time.Hour)},
		{Revoked: guard.Revoked{Principal: "p"}, Since: dawn, Until: dawn.Add(time.Hour), Lifted: true},
	}
	f.Add(guard.AppendRevocations(nil, list))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := guard.ParseRevocations(b, 100)
		if err != nil {
			return
		}
		if len(list) > 100 || len(list)*4 > len(b) {
			t.Fatalf("%d of %d bytes", len(list), len(b))
		}
		again := guard.AppendRevocations(nil, list)
		if got, err := guard.ParseRevocations(again, 100); err != nil || !slices.Equal(got, list) || len(again) > len(b) {
			t.Fatalf("%q is read as %v, which is encoded as %q and read as %v, %v", b, list, again, got, err)
		}
		if !bytes.Equal(again, guard.AppendRevocations(nil, list)) {
			t.Fatal("two encodings")
		}
	})
}
