package guard_test

import (
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/guard"
)

var noon = time.Date(2025, 1, 1, 12, 0, 0, 0, time.UTC)

func fail(f *guard.Failures, addr string, n int, now time.Time) {
	for range n {
		f.Fail(netip.MustParseAddr(addr), now)
	}
}

func blocked(f *guard.Failures, addr string, now time.Time) bool {
	return f.Blocked(netip.MustParseAddr(addr), now)
}

func TestAddressIsBlockedOnceItsFailuresAreUsedUp(t *testing.T) {
	f := guard.NewFailures(guard.FailureLimit{}, nil)
	fail(f, "192.0.2.1", 19, noon)
	if blocked(f, "192.0.2.1", noon) {
		t.Error("blocked after 19 failures")
	}
	fail(f, "192.0.2.1", 1, noon.Add(59*time.Second))
	if !blocked(f, "192.0.2.1", noon.Add(59*time.Second)) {
		t.Error("not blocked after 20 failures")
	}
	if blocked(f, "192.0.2.2", noon.Add(59*time.Second)) {
		t.Error("the neighbour is blocked")
	}
}

func TestWindowBeginsWithTheFirstFailureAndEnds(t *testing.T) {
	f := guard.NewFailures(guard.FailureLimit{Max: 2, Window: 10 * time.Second}, nil)
	fail(f, "192.0.2.1", 1, noon)
	fail(f, "192.0.2.1", 5, noon.Add(9*time.Second))
	if !blocked(f, "192.0.2.1", noon.Add(10*time.Second-1)) {
		t.Error("not blocked at the end of the window")
	}
	if blocked(f, "192.0.2.1", noon.Add(10*time.Second)) {
		t.Error("blocked beyond the window")
	}
	fail(f, "192.0.2.1", 1, noon.Add(10*time.Second))
	if blocked(f, "192.0.2.1", noon.Add(10*time.Second)) {
		t.Error("failures of the last window count in the next")
	}
	fail(f, "192.0.2.1", 1, noon.Add(15*time.Second))
	if !blocked(f, "192.0.2.1", noon.Add(15*time.Second)) {
		t.Error("the second window does not count")
	}
}

func TestAddressesOfOneCustomerAreOne(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"192.0.2.1", "::ffff:192.0.2.1", true},
		{"2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true},
		{"2001:db8:1:2::1", "2001:db8:1:3::1", false},
		{"fe80::1%eth0", "fe80::2%eth1", true},
		{"192.0.2.1", "192.0.2.2", false},
	} {
		f := guard.NewFailures(guard.FailureLimit{Max: 1}, nil)
		fail(f, c.a, 1, noon)
		if !blocked(f, c.a, noon) {
			t.Errorf("%s itself is not blocked", c.a)
		}
		if got := blocked(f, c.b, noon); got != c.same {
			t.Errorf("failures of %s block %s: %v, want %v", c.a, c.b, got, c.same)
		}
	}
}

func TestPeerWithoutAddressIsNeverBlocked(t *testing.T) {
	f := guard.NewFailures(guard.FailureLimit{Max: 1}, nil)
	f.Fail(netip.Addr{}, noon)
	if f.Blocked(netip.Addr{}, noon) || f.Len() != 0 {
		t.Error("a peer without an address is counted")
	}
}

// address is the i-th of many.
func address(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
}

func TestFailuresRememberABoundedNumberTheNewest(t *testing.T) {
	const bound, over = 65536, 100
	f := guard.NewFailures(guard.FailureLimit{Max: 1}, nil)
	for i := range bound + over {
		f.Fail(address(i), noon)
	}
	if f.Len() != bound {
		t.Errorf("%d addresses remembered, want %d", f.Len(), bound)
	}
	for i, want := range map[int]bool{0: false, over - 1: false, over: true, bound + over - 1: true} {
		if got := f.Blocked(address(i), noon); got != want {
			t.Errorf("address %d blocked: %v, want %v", i, got, want)
		}
	}
}

func TestFailuresForgetWhatIsOver(t *testing.T) {
	f := guard.NewFailures(guard.FailureLimit{}, nil)
	for i := range 100 {
		f.Fail(address(i), noon)
	}
	later := noon.Add(time.Minute)
	for i := range 60 {
		f.Fail(address(1000+i), later)
	}
	if f.Len() != 60 {
		t.Errorf("%d remembered after 60 new windows, want the 100 old ones gone", f.Len())
	}
	f.Sweep(later.Add(time.Minute - 1))
	if f.Len() != 60 {
		t.Errorf("Sweep left %d of 60 that still count", f.Len())
	}
	f.Sweep(later.Add(time.Minute))
	if f.Len() != 0 {
		t.Errorf("Sweep left %d that are over", f.Len())
	}
}

func TestFailuresOfManyAtOnceAreAllCounted(t *testing.T) {
	f := guard.NewFailures(guard.FailureLimit{Max: 8 * 50}, nil)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 50 {
				f.Fail(address(1), noon)
				f.Fail(address(2+i), noon)
				f.Blocked(address(1), noon)
				f.Sweep(noon)
			}
		})
	}
	all.Wait()
	if !f.Blocked(address(1), noon) || f.Len() != 51 {
		t.Errorf("blocked %v with %d addresses, want every failure counted", f.Blocked(address(1), noon), f.Len())
	}
}
