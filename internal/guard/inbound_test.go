package guard_test

import (
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/guard"
)

func ten(window time.Duration) guard.Quota { return guard.Quota{Messages: 10, Window: window} }

// senderOf is a sender with Meters of its own.
func senderOf(in *guard.Inbound, principal, addr string) *guard.Sender {
	s := &guard.Sender{Meters: make([]guard.Meter, in.Meters()), Principal: principal}
	if addr != "" {
		s.Addr = netip.MustParseAddr(addr)
	}
	return s
}

// passes counts how many of n equal loads pass at once.
func passes(in *guard.Inbound, s *guard.Sender, l guard.Load, n int, now int64) (passed int) {
	for range n {
		if in.Judge(s, &l, now).Action == guard.Pass {
			passed++
		}
	}
	return passed
}

func free(int) {}

// Packets of the protocol are meant by their names and by "*"; nothing drops a DISCONNECT.
func TestInboundRuleMeansPackets(t *testing.T) {
	connect, disconnect := guard.Load{Name: guard.ConnectPacket, Packet: true}, guard.Load{Name: guard.DisconnectPacket, Packet: true}
	for _, c := range []struct {
		events, topics string
		action         guard.InboundAction
		load           guard.Load
		means          bool
	}{
		{"*", "", guard.Drop, connect, true},
		{"connect", "", guard.Drop, connect, true},
		{"con*", "", guard.Drop, connect, false},
		{"*", "*", guard.Drop, connect, false},
		{"disconnect", "", guard.Drop, connect, false},
		{"*", "", guard.Drop, disconnect, false},
		{"*", "", guard.Disconnect, disconnect, true},
		{"disconnect", "", guard.Disconnect, disconnect, true},
	} {
		in := guard.NewInbound([]guard.InboundRule{{Quota: ten(time.Hour), Events: c.events, Topics: c.topics, Action: c.action}}, free)
		if means := passes(in, senderOf(in, "", ""), c.load, 20, 1) == 10; means != c.means {
			t.Errorf("events %q, topics %q, %v: means %s is %v", c.events, c.topics, c.action, c.load.Name, means)
		}
	}
}

// A packet counts no more bytes than the quota has: a long token does not keep its client out.
func TestInboundPacketIsNeverTooLong(t *testing.T) {
	in := guard.NewInbound([]guard.InboundRule{{Quota: guard.Quota{Bytes: 100, Window: time.Hour}, Events: "*", Action: guard.Drop}}, free)
	s := senderOf(in, "", "")
	if n := passes(in, s, guard.Load{Name: guard.ConnectPacket, Packet: true, Bytes: 1000}, 3, 1); n != 1 {
		t.Errorf("%d of 3 long packets passed, want 1", n)
	}
	if n := passes(in, senderOf(in, "", ""), guard.Load{Name: "event", Bytes: 1000}, 3, 1); n != 0 {
		t.Errorf("%d long events passed", n)
	}
}

func TestInboundRuleMeansNamesPrefixesAndTopics(t *testing.T) {
	chat := guard.Load{Name: "chat:send"}
	publish := guard.Load{Name: "publish", Alias: "weir:publish", Topic: []byte("prices.AAPL")}
	for _, c := range []struct {
		events, topics string
		load           guard.Load
		means          bool
	}{
		{"*", "", chat, true},
		{"*", "", guard.Load{Name: ""}, true},
		{"chat:*", "", chat, true},
		{"chat:send", "", chat, true},
		{"chat", "", chat, false},
		{"chat:send2", "", chat, false},
		{"publish", "", publish, true},
		{"weir:publish", "", publish, true},
		{"weir:*", "", publish, true},
		{"weir:*", "", guard.Load{Name: "publish"}, false},
		{"*", "prices*", publish, true},
		{"*", "prices.AAPL", publish, true},
		{"*", "orders", publish, false},
		{"*", "*", publish, true},
		{"*", "*", chat, false},
		{"subscribe", "*", publish, false},
	} {
		in := guard.NewInbound([]guard.InboundRule{{Quota: ten(time.Second), Events: c.events, Topics: c.topics, Action: guard.Drop}}, free)
		if in.Topics() != (c.topics != "") {
			t.Errorf("%+v: asks for topics: %v", c, in.Topics())
		}
		want := 20
		if c.means {
			want = 10
		}
		if got := passes(in, senderOf(in, "", ""), c.load, 20, 5e9); got != want {
			t.Errorf("events %q, topics %q, %+v: %d of 20 pass, want %d", c.events, c.topics, c.load, got, want)
		}
	}
}

// Who ignores what a mild rule tells meets the severe one, whatever their order in the file.
func TestInboundWorstActionFirst(t *testing.T) {
	in := guard.NewInbound([]guard.InboundRule{
		{Quota: guard.Quota{Messages: 10, Window: time.Second}, Events: "*", Action: guard.Throttle},
		{Quota: guard.Quota{Messages: 20, Window: time.Second}, Events: "*", Action: guard.Drop},
		{Quota: guard.Quota{Messages: 40, Window: time.Second}, Events: "*", Action: guard.Disconnect},
	}, free)
	s, now := senderOf(in, "", ""), int64(5e9)
	var seen [guard.InboundActions]int
	for range 60 {
		v := in.Judge(s, &guard.Load{Name: "x"}, now)
		seen[v.Action]++
		if (v.Action == guard.Throttle) != (v.At > now) || v.Action != guard.Pass && v.Rule.Action != v.Action {
			t.Fatalf("ruling %+v", v)
		}
	}
	if want := [guard.InboundActions]int{10, 10, 20, 20}; seen != want {
		t.Errorf("of 60 %v passed, were throttled, dropped, disconnected; want %v", seen, want)
	}
	if in.Beyond(guard.Drop, false) != 20 || in.Beyond(guard.Throttle, false) != 10 || in.Beyond(guard.Disconnect, false) != 20 {
		t.Errorf("counted %d, %d, %d", in.Beyond(guard.Throttle, false), in.Beyond(guard.Drop, false), in.Beyond(guard.Disconnect, false))
	}
}

func TestInboundDryRunCountsAndLetsAllPass(t *testing.T) {
	for action := guard.Throttle; action <= guard.Disconnect; action++ {
		in := guard.NewInbound([]guard.InboundRule{{Quota: ten(time.Second), Events: "*", Action: action, DryRun: true}}, free)
		s, dry := senderOf(in, "", ""), 0
		for range 25 {
			v := in.Judge(s, &guard.Load{Name: "x"}, 5e9)
			if v.Action != guard.Pass {
				t.Fatalf("%v: ruling %+v of a rule that is tried only", action, v)
			}
			if v.Dry != nil {
				dry++
			}
		}
		if dry != 15 || in.Beyond(action, true) != 15 || in.Beyond(action, false) != 0 {
			t.Errorf("%v: %d told, %d counted, %d as if in force; want 15, 15, 0", action, dry, in.Beyond(action, true), in.Beyond(action, false))
		}
	}
}

func TestInboundCountsTogetherWhatItsScopeSays(t *testing.T) {
	rule := func(per guard.InboundScope) *guard.Inbound {
		return guard.NewInbound([]guard.InboundRule{{Quota: ten(time.Second), Events: "*", Action: guard.Drop, Per: per}}, free)
	}
	l, now := guard.Load{Name: "x"}, int64(5e9)
	for _, c := range []struct {
		per        guard.InboundScope
		one, other [2]string // principal and address
		together   bool
	}{
		{guard.PerSocket, [2]string{"ann", "192.0.2.1"}, [2]string{"ann", "192.0.2.1"}, false},
		{guard.PerPrincipal, [2]string{"ann", "192.0.2.1"}, [2]string{"ann", "192.0.2.2"}, true},
		{guard.PerPrincipal, [2]string{"ann", "192.0.2.1"}, [2]string{"bob", "192.0.2.1"}, false},
		{guard.PerPrincipal, [2]string{"", "192.0.2.1"}, [2]string{"", "192.0.2.1"}, true},
		{guard.PerPrincipal, [2]string{"", "192.0.2.1"}, [2]string{"192.0.2.1", "192.0.2.1"}, false},
		{guard.PerAddress, [2]string{"ann", "192.0.2.1"}, [2]string{"bob", "192.0.2.1"}, true},
		{guard.PerAddress, [2]string{"ann", "2001:db8::1"}, [2]string{"bob", "2001:db8::2"}, true},
		{guard.PerAddress, [2]string{"ann", "2001:db8::1"}, [2]string{"bob", "2001:db8:0:1::1"}, false},
		{guard.PerAddress, [2]string{"ann", ""}, [2]string{"ann", ""}, false},
	} {
		in := rule(c.per)
		passes(in, senderOf(in, c.one[0], c.one[1]), l, 10, now)
		want := 10
		if c.together {
			want = 0
		}
		if got := passes(in, senderOf(in, c.other[0], c.other[1]), l, 10, now); got != want {
			t.Errorf("%+v: the second passes %d times, want %d", c, got, want)
		}
	}
}

// What strangers can make it remember is bounded, counted, and given back.
func TestInboundRemembersABoundedNumberOfSenders(t *testing.T) {
	const bound = 65536
	var held atomic.Int64
	in := guard.NewInbound([]guard.InboundRule{{Quota: ten(time.Second), Events: "*", Action: guard.Drop, Per: guard.PerPrincipal}}, func(n int) { held.Add(int64(n)) })
	now := int64(5e9)
	flood := senderOf(in, "flood", "")
	passes(in, flood, guard.Load{Name: "x"}, 20, now)
	for i := range bound + 5000 {
		name := "p" + strings.Repeat("x", i%50) + strconv.Itoa(i)
		in.Judge(senderOf(in, name, ""), &guard.Load{Name: "x"}, now)
		if i%1000 == 0 && passes(in, flood, guard.Load{Name: "x"}, 1, now) != 0 {
			t.Fatal("whoever goes on sending was forgotten, and passes")
		}
	}
	if n := in.Senders(); n != bound {
		t.Errorf("%d senders remembered, want %d", n, bound)
	}
	if n := held.Load(); n < bound*160 || n > bound*(256+64) {
		t.Errorf("%d bytes held for them", n)
	}
	in.Sweep(now + int64(time.Second))
	if in.Senders() != bound {
		t.Error("forgotten while they still count")
	}
	in.Sweep(now + int64(3*time.Second))
	if in.Senders() != 0 || held.Load() != 0 {
		t.Errorf("%d senders and %d bytes are left of those that are over", in.Senders(), held.Load())
	}
	for i := range 3000 { // the past gives way to those who come, too
		in.Judge(senderOf(in, strconv.Itoa(i), ""), &guard.Load{Name: "x"}, now+int64(i)*int64(time.Second))
	}
	if n := in.Senders(); n > 4 {
		t.Errorf("%d senders remembered of those who came one after the other", n)
	}
}

func TestInboundThatIsNotBeyondAllocatesNothing(t *testing.T) {
	var rules []guard.InboundRule
	for per := guard.PerSocket; per <= guard.PerAddress; per++ {
		for action := guard.Throttle; action <= guard.Disconnect; action++ {
			rules = append(rules, guard.InboundRule{Quota: guard.Quota{Messages: 1e6, Bytes: 1e9, Window: time.Second}, Events: "ch*", Topics: "pri*", Action: action, Per: per})
		}
	}
	in := guard.NewInbound(rules, free)
	s, now := senderOf(in, "ann", "192.0.2.1"), int64(5e9)
	topic := []byte("prices")
	if n := testing.AllocsPerRun(1000, func() {
		now += 1000
		if v := in.Judge(s, &guard.Load{Name: "chat", Topic: topic, Bytes: 100}, now); v.Action != guard.Pass {
			t.Fatalf("ruling %+v", v)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestInboundOfManyAtOnce(t *testing.T) {
	var held atomic.Int64
	in := guard.NewInbound([]guard.InboundRule{
		{Quota: guard.Quota{Messages: 500, Window: time.Minute}, Events: "*", Action: guard.Drop, Per: guard.PerAddress},
		{Quota: ten(time.Second), Events: "*", Action: guard.Throttle, Per: guard.PerPrincipal, DryRun: true},
	}, func(n int) { held.Add(int64(n)) })
	var all sync.WaitGroup
	var passed atomic.Int64
	for g := range 8 {
		all.Go(func() {
			s := senderOf(in, "p"+strconv.Itoa(g), "192.0.2.1")
			for i := range 200 {
				if in.Judge(s, &guard.Load{Name: "x"}, 5e9+int64(i)).Action == guard.Pass {
					passed.Add(1)
				}
				in.Sweep(5e9)
			}
		})
	}
	all.Wait()
	if passed.Load() != 500 {
		t.Errorf("%d have passed, want 500 of an address", passed.Load())
	}
	in.Sweep(5e9 + int64(time.Hour))
	if held.Load() != 0 {
		t.Errorf("%d bytes held of nobody", held.Load())
	}
}

func TestInboundMetersAreIdleWhenAllAre(t *testing.T) {
	in := guard.NewInbound([]guard.InboundRule{
		{Quota: ten(time.Second), Events: "a", Action: guard.Drop},
		{Quota: ten(time.Minute), Events: "b", Action: guard.Throttle},
		{Quota: ten(time.Hour), Events: "*", Action: guard.Drop, Per: guard.PerAddress},
	}, free)
	s, now := senderOf(in, "", "192.0.2.1"), int64(5e9)
	if len(s.Meters) != 2 || !in.Idle(s.Meters, now*1000) {
		t.Fatalf("%d meters", len(s.Meters))
	}
	in.Judge(s, &guard.Load{Name: "b"}, now)
	if in.Idle(s.Meters, now+int64(time.Minute)) || !in.Idle(s.Meters, now+int64(2*time.Minute)) {
		t.Error("want them idle when the minute and the one after are over")
	}
	if guard.NewInbound(nil, free) != nil {
		t.Error("no rules are something")
	}
}

func TestInboundSaysWhatIsBeyond(t *testing.T) {
	for want, r := range map[string]guard.InboundRule{
		"more than 10 events in 1s for one socket":                                      {Quota: ten(time.Second), Events: "*"},
		"more than 10 events of chat:* in 1m0s for one principal":                       {Quota: ten(time.Minute), Events: "chat:*", Per: guard.PerPrincipal},
		"more than 10 events or 5 bytes of publish to prices* in 500ms for one address": {Quota: guard.Quota{Messages: 10, Bytes: 5, Window: time.Second / 2}, Events: "publish", Topics: "prices*", Per: guard.PerAddress},
		"more than 5 bytes in 1s for one socket":                                        {Quota: guard.Quota{Bytes: 5, Window: time.Second}, Events: "*"},
	} {
		r.Action = guard.Disconnect
		r.Bytes, r.Messages = max(r.Bytes, 0), max(r.Messages, 0)
		in := guard.NewInbound([]guard.InboundRule{r}, free)
		s := senderOf(in, "ann", "192.0.2.1")
		var v guard.Ruling
		for range 20 {
			if v = in.Judge(s, &guard.Load{Name: "publish", Alias: "chat:x", Topic: []byte("prices"), Bytes: 1}, 5e9); v.Rule != nil {
				break
			}
		}
		if v.Rule == nil || v.Rule.Says != want {
			t.Errorf("says %+v, want %q", v.Rule, want)
		}
	}
}

func TestStrikesAreOutAtTheThirdWithinTenMinutes(t *testing.T) {
	s := guard.NewStrikes(nil)
	at := func(d time.Duration) bool { return s.Strike("ann", noon.Add(d)) }
	if at(0) || at(time.Minute) || !at(9*time.Minute) || !at(10*time.Minute) {
		t.Error("want the third and the fourth within ten minutes out")
	}
	if at(time.Hour) || at(61*time.Minute) || !at(62*time.Minute) {
		t.Error("want it afresh after an hour")
	}
	if s.Strike("bob", noon) {
		t.Error("others are out with it")
	}
	for i := range 65536 + 10 {
		s.Strike(strconv.Itoa(i), noon.Add(time.Hour))
	}
	if s.Len() != 65536 {
		t.Errorf("%d remembered", s.Len())
	}
	if s.Sweep(noon.Add(2 * time.Hour)); s.Len() != 0 {
		t.Errorf("%d remembered of those that are over", s.Len())
	}
}

func BenchmarkInboundJudge(b *testing.B) {
	for name, per := range map[string]guard.InboundScope{"socket": guard.PerSocket, "address": guard.PerAddress} {
		b.Run(name, func(b *testing.B) {
			in := guard.NewInbound([]guard.InboundRule{{Quota: guard.Quota{Messages: 1e9, Bytes: 1e9, Window: time.Second}, Events: "*", Per: per, Action: guard.Throttle}}, free)
			s, l, now := senderOf(in, "ann", "192.0.2.1"), guard.Load{Name: "order", Bytes: 200}, int64(5e9)
			b.ReportAllocs()
			for b.Loop() {
				now += 100
				in.Judge(s, &l, now)
			}
		})
	}
}
