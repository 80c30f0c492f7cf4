package guard_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/guard"
)

func TestRefusalsSayTheFirstAtOnceAndSumUpTheRest(t *testing.T) {
	r := guard.NewRefusals(nil)
	key := guard.RefusalKey{Kind: "origin", Addr: netip.MustParseAddr("192.0.2.1"), Detail: "https://a.example"}
	if !r.Note(key, noon, time.Time{}) {
		t.Error("the first is not said")
	}
	for range 4 {
		if r.Note(key, noon, time.Time{}) {
			t.Error("another is said at once")
		}
	}
	due := r.Due(noon.Add(time.Minute))
	if len(due) != 1 || due[0].New != 4 || due[0].Count != 5 || due[0].RefusalKey != key {
		t.Errorf("due: %+v", due)
	}
	if due := r.Due(noon.Add(2 * time.Minute)); due != nil {
		t.Errorf("due again: %+v", due)
	}
}

// A stranger with many addresses, or many origins, fills neither the log nor the memory.
func TestRefusalsAreBounded(t *testing.T) {
	r, said := guard.NewRefusals(nil), 0
	for i := range 5000 {
		if r.Note(guard.RefusalKey{Kind: "origin", Detail: fmt.Sprint(i, strings.Repeat("ä", 500))}, noon, time.Time{}) {
			said++
		}
	}
	if said != 20 {
		t.Errorf("%d lines about newcomers in one minute, want 20", said)
	}
	list := r.List(noon)
	if len(list) != 1024 || len(list[0].Detail) > 210 || !strings.HasPrefix(list[0].Detail, "4999") {
		t.Errorf("%d remembered, the latest %q", len(list), list[0].Detail)
	}
	r.Due(noon)
	if !r.Note(guard.RefusalKey{Kind: "origin"}, noon, time.Time{}) {
		t.Error("the next minute has no lines")
	}
	if r.Due(noon.Add(time.Hour)); len(r.List(noon.Add(time.Hour))) != 0 {
		t.Error("remembered for longer than an hour")
	}
}

func TestRefusalsForgetWhomTheyAreTold(t *testing.T) {
	r := guard.NewRefusals(nil)
	for _, kind := range []string{"origin", "protocol_version"} {
		for _, a := range []string{"192.0.2.1", "192.0.2.2"} {
			r.Note(guard.RefusalKey{Kind: kind, Addr: netip.MustParseAddr(a)}, noon, time.Time{})
		}
	}
	if n := r.Forget("origin", netip.MustParseAddr("192.0.2.1")); n != 1 || len(r.List(noon)) != 3 {
		t.Errorf("forgot %d, left %d", n, len(r.List(noon)))
	}
	if n := r.Forget("", netip.Addr{}); n != 3 || r.List(noon) != nil {
		t.Errorf("forgot %d", n)
	}
}

func TestBlockedAddressesAreListedAndClearedOneByOne(t *testing.T) {
	f := guard.NewFailures(guard.FailureLimit{Max: 2}, nil)
	fail(f, "192.0.2.1", 2, noon)
	fail(f, "2001:db8::1", 3, noon.Add(time.Second))
	fail(f, "192.0.2.3", 1, noon)
	list := f.List(noon.Add(time.Second))
	if len(list) != 2 || list[0].Addr.String() != "2001:db8::" || list[0].Count != 3 || !list[1].Until.Equal(noon.Add(time.Minute)) {
		t.Errorf("listed %+v", list)
	}
	if n := f.Clear(netip.MustParseAddr("2001:db8::2"), noon); n != 1 || blocked(f, "2001:db8::1", noon.Add(time.Second)) {
		t.Errorf("cleared %d by another address of the /64", n)
	}
	if n := f.Clear(netip.Addr{}, noon); n != 1 || f.Len() != 0 {
		t.Errorf("cleared %d, %d remembered", n, f.Len())
	}
	p := guard.NewPenalties(nil)
	key := guard.PenaltyKey(netip.MustParseAddr("192.0.2.1"), 7)
	p.Offend(key, time.Second, noon)
	if list := p.List(noon); len(list) != 1 || list[0].Addr.String() != "192.0.2.1" || !list[0].Until.Equal(noon.Add(time.Second)) {
		t.Errorf("penalties: %+v", list)
	}
	if n := p.Clear(netip.MustParseAddr("192.0.2.2"), noon); n != 0 || !p.Any() {
		t.Errorf("cleared %d of another address", n)
	}
	if n := p.Clear(netip.MustParseAddr("192.0.2.1"), noon); n != 1 || p.Any() {
		t.Errorf("cleared %d", n)
	}
}

func TestTheFailureThatBlocksIsToldOnce(t *testing.T) {
	f := guard.NewFailures(guard.FailureLimit{Max: 3}, nil)
	var told []int
	for i := range 6 {
		if until, now := f.Fail(netip.MustParseAddr("192.0.2.1"), noon); now {
			told = append(told, i)
			if !until.Equal(noon.Add(time.Minute)) {
				t.Errorf("until %s", until)
			}
		}
	}
	if len(told) != 1 || told[0] != 2 {
		t.Errorf("told at %v", told)
	}
}
