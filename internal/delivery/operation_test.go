package delivery_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/base"
	accounts "github.com/streamweir/weir/internal/budget"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/lane"
	"github.com/streamweir/weir/internal/op"
	packets "github.com/streamweir/weir/internal/packet"
	"github.com/streamweir/weir/internal/wire/sio"
)

// sent is an operation as another node gets it.
func sent(t *testing.T, o *op.Op) *op.Op {
	t.Helper()
	b, err := op.Append(nil, o)
	if err != nil {
		t.Fatal(err)
	}
	got, err := op.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// doRemotely has an operation done as if it came from another node, to which the outcome goes back.
func (r *rig) doRemotely(t *testing.T, o *op.Op) *op.Outcome {
	t.Helper()
	o.Namespace = r.ns.Path
	out := r.do(sent(t, o))
	b, err := op.AppendOutcome(nil, o.Kind, &out)
	if err != nil {
		t.Fatal(err)
	}
	kind, got, err := op.ParseOutcome(b)
	if err != nil || kind != o.Kind {
		t.Fatalf("the outcome of %s is of %s, %v", o.Kind, kind, err)
	}
	return got
}

// Operations do the same whether they were made here or came from elsewhere: to whom they mean,
// and only to those.
func TestOperationsReachWhomTheyMean(t *testing.T) {
	r, _, sockets := crowd(t)
	names := make(map[string]string)
	for name, s := range sockets {
		names[s.ID] = name
	}
	for _, row := range []struct {
		op   op.Op
		want string
	}{
		{op.Op{}, "abcd"},
		{op.Op{Target: delivery.Target{Rooms: []string{"red"}}}, "ac"},
		{op.Op{Target: delivery.Target{Rooms: []string{}}}, ""},
		{op.Op{Target: delivery.Target{Rooms: []string{"red", "blue"}, Except: []string{sockets["c"].ID}}}, "ab"},
		{op.Op{Target: delivery.Target{Principal: "bob"}}, "cd"},
		{op.Op{Target: delivery.Target{Principal: "bob", Rooms: []string{"red"}}}, "c"},
		{op.Op{Target: delivery.Target{Socket: sockets["b"].ID}}, "b"},
		{op.Op{Target: delivery.Target{Socket: sockets["b"].ID, Principal: "bob"}}, ""},
		{op.Op{Target: delivery.Target{Socket: sockets["b"].ID, Rooms: []string{"blue"}}}, "b"},
		{op.Op{Target: delivery.Target{Socket: "nobody"}}, ""},
		{op.Op{Only: op.Only{Topic: "ticks"}}, "abc"},
		{op.Op{Only: op.Only{Topic: "other"}}, ""},
		{op.Op{Only: op.Only{Address: "192.0.2.1"}}, ""}, // the rig's connections do not say where they come from
		{op.Op{Only: op.Only{Token: "t1"}}, ""},          // nor by which token
	} {
		row.op.Kind = op.Fetch
		var got []string
		out := r.doRemotely(t, &row.op)
		for _, d := range out.Sockets {
			got = append(got, names[d.ID])
		}
		slices.Sort(got)
		if strings.Join(got, "") != row.want || out.Done != len(got) {
			t.Errorf("%+v finds %v (%d), want %s", row.op, got, out.Done, row.want)
		}
	}
}

// Rooms are joined and left, and who has too many is skipped and left as it is.
func TestJoinAndLeaveAreOperations(t *testing.T) {
	o := options(2)
	o.Namespaces[0].Rooms = 2
	r := newRig(t, o)
	full, free := r.connect(0).join(), r.connect(1).join()
	r.do(&op.Op{Kind: op.Join, Target: delivery.Target{Socket: full.ID}, Rooms: []string{"a", "b"}})
	if out := r.doRemotely(t, &op.Op{Kind: op.Join, Rooms: []string{"c"}}); out.Done != 1 || out.Skipped != 1 {
		t.Errorf("join: %+v", out)
	}
	if out := r.doRemotely(t, &op.Op{Kind: op.Leave, Rooms: []string{"a", "z"}}); out.Done != 2 {
		t.Errorf("leave: %+v", out)
	}
	out := r.doRemotely(t, &op.Op{Kind: op.Fetch, Describe: true})
	rooms := make(map[string][]string)
	for _, d := range out.Sockets {
		rooms[d.ID] = d.Rooms
	}
	if want := map[string][]string{full.ID: {full.ID, "b"}, free.ID: {free.ID, "c"}}; fmt.Sprint(rooms) != fmt.Sprint(want) {
		t.Errorf("in %v, want %v", rooms, want)
	}
}

// A socket is sent away as the cause says, after what it was sent before.
func TestDisconnectsSendAwayAsTheirCauseSays(t *testing.T) {
	const dismissal = "1/feed,"
	told := `2/feed,["weir:error",{"ok":false,"code":"forbidden","reason":"no more","retryable":false}]`
	for _, row := range []struct {
		op    op.Op
		want  []string
		gone  base.Cause
		ended []base.Cause // of the connection
	}{
		{op.Op{Cause: base.CauseServerDisconnect}, []string{dismissal}, base.CauseServerDisconnect, nil},
		{op.Op{Cause: base.CauseServerDisconnect, Transport: true}, []string{dismissal}, base.CauseServerDisconnect, []base.Cause{base.CauseServerDisconnect}},
		{op.Op{Cause: base.CauseForbidden, Reason: "no more"}, []string{told, dismissal}, base.CauseForbidden, nil},
		{op.Op{Cause: base.CauseAdmin}, nil, base.CauseAdmin, []base.Cause{base.CauseAdmin}},
	} {
		r := newRig(t, options(1))
		c := r.connect(0)
		s := c.join()
		if err := s.Emit(t.Context(), "last", delivery.Emission{Frame: event("last")}, false); err != nil {
			t.Fatal(err)
		}
		row.op.Kind = op.Disconnect
		if out := r.doRemotely(t, &row.op); out.Done != 1 {
			t.Errorf("%s: %+v", row.op.Cause, out)
		}
		wantTexts(t, c.texts(), append([]string{`2/feed,["last"]`}, row.want...)...)
		if !slices.Equal(c.gone, []base.Cause{row.gone}) || !slices.Equal(c.cuts, row.ended) {
			t.Errorf("%s: the socket has left for %v, the connection for %v", row.op.Cause, c.gone, c.cuts)
		}
		if byOperator := row.gone != base.CauseServerDisconnect; (r.Cuts(base.CauseAdmin) == 1) != byOperator {
			t.Errorf("%s: counted as %d cuts by an operator", row.op.Cause, r.Cuts(base.CauseAdmin))
		}
	}
}

// An event is the same on the wire, and in the lanes, whether it was emitted here or came from
// another node as a value.
func TestEmitsAreValues(t *testing.T) {
	spec := topic("quotes", lane.Policy{Overflow: base.Coalesce, MaxMessages: 16, MaxBytes: 1 << 20, Weight: 1})
	spec.Key = func(payload []byte) string { return string(payload[:6]) }
	var read [2][]string
	var coalesced [2]uint64
	for i := range read {
		r := newRig(t, options(1, spec))
		c := r.stalled(0)
		c.join()
		for _, row := range []struct {
			name string
			args []any
		}{
			{"news", nil}, {"news", []any{1, map[string]any{"raw": []byte("data")}, []byte{}}},
			{"quotes", []any{map[string]any{"a": 1, "v": 1}}}, {"quotes", []any{map[string]any{"a": 1, "v": 2}}},
		} {
			f, first, err := packets.Event(sio.EventHeader{Namespace: "/feed"}, row.name, row.args)
			if err != nil {
				t.Fatal(err)
			}
			e := delivery.Emission{Frame: f.Verbatim(), First: first}
			if i == 0 {
				err = r.Emit(t.Context(), r.ns, row.name, e, delivery.Target{})
			} else {
				v, valueErr := e.Value()
				out := r.doRemotely(t, &op.Op{Kind: op.Emit, Event: v})
				if err = valueErr; !v.Verbatim || out.Partial {
					t.Errorf("%s: %+v, %+v", row.name, v, out)
				}
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		c.open(wide)
		read[i], coalesced[i] = c.texts(), r.totals("quotes").Coalesced
	}
	if len(read[0]) != 3 || !slices.Equal(read[0], read[1]) || coalesced != [2]uint64{1, 1} {
		t.Errorf("emitted here\n%q (%d coalesced), as values\n%q (%d)", read[0], coalesced[0], read[1], coalesced[1])
	}
}

// What nobody could do is refused before anything is done.
func TestWhatIsNoOperationIsRefused(t *testing.T) {
	r := newRig(t, options(1))
	r.connect(0).join()
	for _, row := range []struct {
		op   op.Op
		want error
	}{
		{op.Op{Kind: op.Leave}, op.ErrInvalid},
		{op.Op{Kind: op.Leave, Namespace: "/other"}, delivery.ErrUnknownNamespace},
		{op.Op{Kind: op.Ask, Namespace: "/feed", Event: op.Event{Data: []byte(`["x"]`)}}, delivery.ErrAsk},
		{op.Op{Kind: op.Emit, Namespace: "/feed", Event: op.Event{Data: []byte(`["x`)}}, &base.Error{Code: base.CodeInvalid}},
	} {
		if out, err := r.Do(t.Context(), &row.op); !errors.Is(err, row.want) || out.Done != 0 {
			t.Errorf("%+v: %+v, %v", row.op, out, err)
		}
	}
	r.Close()
	if _, err := r.Do(t.Context(), &op.Op{Kind: op.Fetch, Namespace: "/feed"}); !errors.Is(err, delivery.ErrClosed) {
		t.Errorf("after the end: %v", err)
	}
}

// Who does not wait to the end gets what there is by then, knows that it is not all, and shares
// nothing with the loops, which go on.
func TestOutcomesOfThoseWhoDoNotWaitArePartial(t *testing.T) {
	r := newRig(t, options(2))
	for i := range 5 {
		r.connect(i / 3).join() // three and two
	}
	for _, wait := range []time.Duration{0, time.Nanosecond} {
		release := r.block(r.Shards()[1])
		d, err := r.Begin(t.Context(), &op.Op{Kind: op.Fetch, Namespace: "/feed", Wait: wait})
		if err != nil {
			t.Fatal(err)
		}
		for r.Shards()[0].Stats().Jobs > 0 {
			r.on(r.Shards()[0], func() {})
		}
		ctx, want := canceled(), context.Canceled
		if wait > 0 {
			ctx, want = context.Background(), context.DeadlineExceeded
		}
		out, err := d.Wait(ctx)
		if !errors.Is(err, want) || !out.Partial || out.Done != 3 || len(out.Sockets) != 3 || len(d.Sockets) != 3 {
			t.Errorf("wait %v: %+v, %v", wait, out, err)
		}
		out.Add(&op.Outcome{Sockets: []op.Description{{ID: "mine"}}})
		release()
		r.settle()
		if len(out.Sockets) != 4 || out.Sockets[3].ID != "mine" {
			t.Errorf("wait %v: a loop has added to what was given: %+v", wait, out)
		}
	}
}

// Whoever cannot be put into a room because memory is short is told apart from who is in too many.
func TestJoinsForWhichMemoryIsShortAreCounted(t *testing.T) {
	r := newRig(t, tight(1, topic("a", latest())))
	s := r.connect(0).join()
	r.Hold(accounts.Mailboxes, budget)
	if out := r.doRemotely(t, &op.Op{Kind: op.Join, Rooms: []string{"red"}}); out.Done != 0 || out.Short != 1 || out.Skipped != 0 {
		t.Errorf("%+v", out)
	}
	r.Hold(accounts.Mailboxes, -budget)
	if out := r.doRemotely(t, &op.Op{Kind: op.Join, Target: delivery.Target{Socket: s.ID}, Rooms: []string{"red"}}); out.Done != 1 {
		t.Errorf("%+v", out)
	}
}

// What is done is told as done, also to who is late: neither a context that has ended nor the end of the hub makes it partial.
func TestWhatIsDoneIsNotPartial(t *testing.T) {
	r := newRig(t, options(2))
	r.connect(0).join()
	ended, end := context.WithCancel(t.Context())
	end()
	for range 100 { // the wait chooses among what is ready
		d, err := r.Begin(t.Context(), &op.Op{Kind: op.Fetch, Namespace: r.ns.Path})
		if err != nil {
			t.Fatal(err)
		}
		r.settle()
		if out, err := d.Wait(ended); err != nil || out.Partial || out.Done != 1 {
			t.Fatalf("%+v, %v", out, err)
		}
	}
}
