package guard_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/guard"
)

func TestSubnetIsWhatCountsAsOneAddress(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.1":            "192.0.2.1",
		"::ffff:192.0.2.1":     "192.0.2.1",
		"2001:db8::1":          "2001:db8::",
		"2001:db8:0:1:2:3:4:5": "2001:db8:0:1::",
		"fe80::1%eth0":         "fe80::",
		"::1":                  "::",
	} {
		if got := guard.Subnet(netip.MustParseAddr(addr)); got.String() != want {
			t.Errorf("%s counts as %s, want %s", addr, got, want)
		}
	}
	if guard.Subnet(netip.Addr{}).IsValid() {
		t.Error("a peer without an address has become one with")
	}
}

// Whoever has a /64 has 2^64 addresses: everything that is counted by address takes them for one.
func TestAddressesOfOneSubnetAreOneToAllThatCountByAddress(t *testing.T) {
	one, other, foreign := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2"), netip.MustParseAddr("2001:db8:0:1::1")

	p := guard.NewPenalties(nil)
	p.Offend(guard.PenaltyKey(one, 7), time.Second, noon)
	if _, refused := p.Until(guard.PenaltyKey(other, 7), noon); !refused {
		t.Error("Penalties: the next address of the /64 escapes")
	}
	if _, refused := p.Until(guard.PenaltyKey(foreign, 7), noon); refused {
		t.Error("Penalties: another /64 is refused")
	}
	if n := p.Clear(other, noon); n != 1 {
		t.Errorf("Penalties: cleared %d by another address of the /64", n)
	}

	f := guard.NewFailures(guard.FailureLimit{Max: 1}, nil)
	f.Fail(one, noon)
	if !f.Blocked(other, noon) || f.Blocked(foreign, noon) {
		t.Error("Failures: want the /64 blocked, and no other")
	}

	c := guard.NewComers(nil)
	c.Left(one)
	c.Came(foreign)
	if c.Came(other); c.Back() != 1 {
		t.Errorf("Comers: %d have come back, want the one of the /64", c.Back())
	}

	r := guard.NewRefusals(nil)
	if first, again := r.Note(guard.RefusalKey{Kind: "origin", Addr: one}, noon, time.Time{}), r.Note(guard.RefusalKey{Kind: "origin", Addr: other}, noon, time.Time{}); !first || again {
		t.Errorf("Refusals: a line for the first %v and for the second %v, want one for the /64", first, again)
	}
	if n := r.Forget("origin", other); n != 1 {
		t.Errorf("Refusals: forgot %d by another address of the /64", n)
	}
}
