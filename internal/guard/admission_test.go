package guard_test

import (
	"net/netip"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/guard"
)

// from is an address; the zero Addr of "".
func from(addr string) netip.Addr {
	if addr == "" {
		return netip.Addr{}
	}
	return netip.MustParseAddr(addr)
}

// check is Admission.Check at that time, of which the verdict matters.
func check(a *guard.Admission, addr string, now time.Duration) guard.Verdict {
	v, _ := a.Check(from(addr), int64(now))
	return v
}

func TestAdmissionWithoutLimitsWelcomesAll(t *testing.T) {
	a := guard.NewAdmission(guard.AdmissionLimits{}, nil)
	for range 10_000 {
		if v := check(a, "192.0.2.1", 1e9); v != guard.Welcome || a.Enter(from("192.0.2.1")) != guard.Welcome || !a.EnterAs("ann") {
			t.Fatalf("verdict %v", v)
		}
	}
}

func TestAdmissionKeepsTheRate(t *testing.T) {
	a := guard.NewAdmission(guard.AdmissionLimits{HandshakesPerSecond: 10}, nil)
	now, welcome := time.Second, 0
	for now < 11*time.Second { // a flood of a thousand a second
		if check(a, "", now) == guard.Welcome {
			welcome++
		}
		now += time.Millisecond
	}
	if welcome < 108 || welcome > 110 {
		t.Errorf("%d in 10 s, want 10 at once and 10 a second", welcome)
	}
	if now += time.Hour; check(a, "", now) != guard.Welcome {
		t.Error("not welcome after a quiet hour")
	}
	for range 9 {
		check(a, "", now)
	}
	if v := check(a, "", now); v != guard.TooFast {
		t.Errorf("verdict %v: a quiet hour saved more than a second's handshakes", v)
	}
}

func TestAdmissionCountsWhoIsPending(t *testing.T) {
	a := guard.NewAdmission(guard.AdmissionLimits{Pending: 2}, nil)
	const now = time.Second
	a.Enter(from(""))
	a.Enter(from(""))
	if v := check(a, "", now); v != guard.Crowded {
		t.Errorf("verdict %v, want crowded", v)
	}
	a.Joined()
	if v := check(a, "", now); v != guard.Welcome {
		t.Errorf("verdict %v after one has joined", v)
	}
	a.Enter(from(""))
	a.Leave(from(""), guard.HasJoined)
	if v := check(a, "", now); v != guard.Crowded {
		t.Errorf("verdict %v: one that had joined before left", v)
	}
	a.Leave(from(""), guard.NeverJoined)
	if v := check(a, "", now); v != guard.Welcome {
		t.Errorf("verdict %v after a pending one left", v)
	}
}

// However many come at the same moment, no more get in than may.
func TestAdmissionLimitOfConnectionsIsExact(t *testing.T) {
	const limit = 100
	a := guard.NewAdmission(guard.AdmissionLimits{Connections: limit}, nil)
	var in atomic.Int64
	var all sync.WaitGroup
	for range 500 {
		all.Go(func() {
			if check(a, "", time.Second) != guard.Welcome {
				return
			}
			if a.Enter(from("")) == guard.Welcome {
				in.Add(1)
				return
			}
			a.Leave(from(""), guard.NeverJoined)
		})
	}
	all.Wait()
	if in.Load() != limit {
		t.Errorf("%d are in, want %d", in.Load(), limit)
	}
	if v := check(a, "", time.Second); v != guard.Full {
		t.Errorf("verdict %v, want full", v)
	}
}

// However many come of an address at the same moment, no more of it get in than may, and others do.
func TestAdmissionLimitOfAnAddressIsExact(t *testing.T) {
	const limit = 20
	a := guard.NewAdmission(guard.AdmissionLimits{PerAddress: limit}, nil)
	var in [2]atomic.Int64
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			addr := from("2001:db8::" + strconv.Itoa(i+1)) // one customer
			if i%2 == 1 {
				addr = from("192.0.2.1")
			}
			if a.Enter(addr) == guard.Welcome {
				in[i%2].Add(1)
				return
			}
			a.Leave(addr, guard.NeverJoined)
		})
	}
	all.Wait()
	if in[0].Load() != limit || in[1].Load() != limit {
		t.Errorf("%d and %d are in, want %d of each address", in[0].Load(), in[1].Load(), limit)
	}
	for addr, want := range map[string]guard.Verdict{
		"192.0.2.1": guard.AddressFull, "::ffff:192.0.2.1": guard.AddressFull, "2001:db8::ffff": guard.AddressFull,
		"192.0.2.2": guard.Welcome, "2001:db8:0:1::1": guard.Welcome, "": guard.Welcome,
	} {
		if v := check(a, addr, time.Second); v != want {
			t.Errorf("%q: verdict %v, want %v", addr, v, want)
		}
	}
	a.Leave(from("192.0.2.1"), guard.NeverJoined)
	if v := check(a, "192.0.2.1", time.Second); v != guard.Welcome {
		t.Errorf("verdict %v after one has left", v)
	}
}

// An address that floods is held to its rate, is told when it may come again, and takes nothing of what others have in common.
func TestAdmissionHoldsAnAddressToItsRate(t *testing.T) {
	a := guard.NewAdmission(guard.AdmissionLimits{HandshakesOfAddress: 5, HandshakesPerSecond: 20}, nil)
	now, welcome, others := int64(time.Second), 0, 0
	for range 10_000 { // 10 s
		now += int64(time.Millisecond)
		switch v, until := a.Check(from("192.0.2.1"), now); {
		case v == guard.Welcome:
			welcome++
		case v != guard.AddressFast:
			t.Fatalf("verdict %v", v)
		case until <= now || until > now+int64(2*time.Second):
			t.Fatalf("may come again in %v", time.Duration(until-now))
		}
		if now%int64(100*time.Millisecond) == 0 && check(a, "192.0.2.2", time.Duration(now)) == guard.Welcome {
			others++
		}
	}
	if welcome < 40 || welcome > 60 {
		t.Errorf("%d in 10 s, want about 5 a second", welcome)
	}
	if others < 40 {
		t.Errorf("%d of 100 of another address in 10 s", others)
	}
	v, until := a.Check(from("192.0.2.3"), now)
	for ; v == guard.Welcome; v, until = a.Check(from("192.0.2.3"), now) {
	}
	if v := check(a, "192.0.2.3", time.Duration(until)); v != guard.Welcome {
		t.Errorf("verdict %v at the time it was told", v)
	}
}

func TestAdmissionCountsConnectionsOfPrincipals(t *testing.T) {
	a := guard.NewAdmission(guard.AdmissionLimits{PerPrincipal: 2}, nil)
	if first, second, third := a.EnterAs("ann"), a.EnterAs("ann"), a.EnterAs("ann"); !first || !second || third || !a.EnterAs("bob") {
		t.Error("want two of ann, and bob beside them")
	}
	a.LeaveAs("ann")
	if first, second := a.EnterAs("ann"), a.EnterAs("ann"); !first || second {
		t.Error("want one more of ann after one has left, and no more than one")
	}
}

// What strangers can make it remember is bounded, counted as the heap has it, and given back.
func TestAdmissionRemembersABoundedNumberOfAddresses(t *testing.T) {
	const bound, most = 65536, 100_000
	var held atomic.Int64
	before := heap()
	a := guard.NewAdmission(guard.AdmissionLimits{HandshakesOfAddress: 1, PerAddress: 1, PerPrincipal: 1}, func(n int) { held.Add(int64(n)) })
	customer := func(i int) netip.Addr {
		return netip.AddrFrom16([16]byte{0x20, 1, byte(i >> 16), byte(i >> 8), byte(i)})
	}
	now := int64(time.Hour)
	for i := range most {
		if v, _ := a.Check(customer(i), now); v != guard.Welcome || a.Enter(customer(i)) != guard.Welcome {
			t.Fatalf("address %d: verdict %v", i, v)
		}
	}
	took := heap() - before
	if present, lately := a.Remembered(); present != most || lately != bound {
		t.Errorf("%d present and %d lately remembered, want %d and %d", present, lately, most, bound)
	}
	if n := held.Load(); n < took*2/3 || n > took*3/2 {
		t.Errorf("%d bytes held, the heap has %d more", n, took)
	}
	for i := range most {
		a.Leave(customer(i), guard.NeverJoined)
	}
	a.Sweep(now + int64(time.Minute))
	if present, lately := a.Remembered(); present != 0 || lately != 0 || held.Load() != 0 {
		t.Errorf("%d present, %d lately and %d bytes are left", present, lately, held.Load())
	}
	runtime.KeepAlive(a)
}

// heap is how many bytes are in use.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
