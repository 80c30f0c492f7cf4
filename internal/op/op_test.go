package op_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/op"
	"github.com/streamweir/weir/internal/roster"
)

// random makes values.
type random struct{ *rand.Rand }

func newRandom(t *testing.T) random {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return random{rand.New(rand.NewPCG(seed, 0))}
}

func (r random) text() string {
	return []string{"", "a", "red", "/feed", "\x00\xff", strings.Repeat("ö", 70)}[r.IntN(6)]
}

// some is a list of at least one text, or nil.
func (r random) some() (out []string) {
	for range r.IntN(4) {
		out = append(out, r.text())
	}
	return out
}

func (r random) blobs() (out [][]byte) {
	for range r.IntN(3) {
		out = append(out, bytes.Repeat([]byte{byte(r.IntN(256))}, r.IntN(300)))
	}
	return out
}

// op is a valid operation.
func (r random) op() *op.Op {
	o := &op.Op{
		Kind: op.Emit + op.Kind(r.IntN(int(op.ServerSide))), Namespace: "/" + r.text(),
		Target: roster.Target{Socket: r.text(), Principal: r.text(), Rooms: r.some(), Except: r.some()},
	}
	if r.IntN(5) == 0 {
		o.Target.Rooms = []string{} // nobody
	}
	if r.IntN(2) == 0 {
		o.Wait = time.Duration(r.Int64())
	}
	if o.Kind == op.ServerSide {
		o.Target = roster.Target{}
	}
	if o.Kind == op.Emit || o.Kind == op.Ask || o.Kind == op.ServerSide {
		o.Event = op.Event{Data: []byte(`["x",` + r.text() + `]`), Attachments: r.blobs(), Volatile: r.IntN(2) == 0, Verbatim: r.IntN(2) == 0}
		return o
	}
	o.Only = op.Only{Topic: r.text(), Address: r.text(), Token: r.text()}
	switch o.Kind {
	case op.Join, op.Leave:
		o.Rooms = r.some()
	case op.Fetch:
		o.Describe = r.IntN(2) == 0
	case op.Disconnect:
		switch o.Cause = op.Causes[r.IntN(len(op.Causes))]; o.Cause {
		case base.CauseServerDisconnect:
			o.Transport = r.IntN(2) == 0
		case base.CauseForbidden, base.CauseTokenExpired:
			o.Reason = r.text()
		}
	}
	return o
}

func (r random) outcome() *op.Outcome {
	o := &op.Outcome{Done: r.IntN(1000), Skipped: r.IntN(2), Short: r.IntN(2), Partial: r.IntN(2) == 0}
	o.Met = op.Met{Queued: r.IntN(1000), Coalesced: r.IntN(2), Dropped: r.IntN(2), Rejected: r.IntN(2)}
	for range r.IntN(4) {
		o.Sockets = append(o.Sockets, op.Description{ID: r.text(), Principal: r.text(), Address: r.text(), Rooms: r.some()})
	}
	for range r.IntN(4) {
		a := op.Answer{Socket: r.text(), Attachments: r.blobs(), Code: r.text(), Reason: r.text()}
		if r.IntN(2) == 0 {
			a.Args = []byte(`[1]`)
		}
		o.Answers = append(o.Answers, a)
	}
	return o
}

// What was encoded is what is decoded, and behind other bytes it is encoded alike.
func TestOperationsComeBackAsTheyWere(t *testing.T) {
	r := newRandom(t)
	for range 5000 {
		want := r.op()
		b, err := op.Append(nil, want)
		if err != nil {
			t.Fatalf("%+v: %v", want, err)
		}
		got, err := op.Parse(b)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%+v\ncomes back as %+v, %v", want, got, err)
		}
		if again, err := op.Append([]byte("before"), got); err != nil || string(again) != "before"+string(b) {
			t.Fatalf("%+v: encoded again %q, %v; want %q", want, again, err, b)
		}
	}
}

func TestOutcomesComeBackAsTheyWere(t *testing.T) {
	r := newRandom(t)
	for range 5000 {
		want, kind := r.outcome(), op.Emit+op.Kind(r.IntN(int(op.ServerSide)))
		b, err := op.AppendOutcome(nil, kind, want)
		if err != nil {
			t.Fatalf("%+v: %v", want, err)
		}
		of, got, err := op.ParseOutcome(b)
		if err != nil || of != kind || !reflect.DeepEqual(got, want) {
			t.Fatalf("%s: %+v\ncomes back as %s: %+v, %v", kind, want, of, got, err)
		}
	}
}

// Whatever is cut off, changed or added is refused, or it is another valid operation.
func TestDamagedOperationsAreRefused(t *testing.T) {
	r := newRandom(t)
	refused := 0
	for range 60 {
		b, err := op.Append(nil, r.op())
		if err != nil {
			t.Fatal(err)
		}
		for i := range b {
			bad := bytes.Clone(b)
			bad[i] ^= 1 << r.IntN(8)
			if canonical(t, bad) && canonical(t, b[:i]) {
				continue
			}
			refused++
		}
		if canonical(t, append(bytes.Clone(b), 99, 1, 1)) {
			t.Errorf("a field that nobody knows is read over: %q", b)
		}
	}
	if refused == 0 {
		t.Error("nothing was refused: the test shows nothing")
	}
}

// canonical reports whether b is an operation; if so it is the encoding of it.
func canonical(t *testing.T, b []byte) bool {
	t.Helper()
	o, err := op.Parse(b)
	if err != nil {
		for _, kind := range []error{op.ErrMalformed, op.ErrNotUnderstood, op.ErrTooLarge, op.ErrInvalid} {
			if errors.Is(err, kind) {
				return false
			}
		}
		t.Fatalf("%q: %v", b, err)
	}
	again, err := op.Append(nil, o)
	if err != nil || !bytes.Equal(again, b) {
		t.Fatalf("%q is read as %+v, which is encoded as %q, %v", b, o, again, err)
	}
	return true
}

// What a newer node may have made is not half understood.
func TestWhatIsNewIsRefusedWhole(t *testing.T) {
	b, err := op.Append(nil, &op.Op{Kind: op.Leave, Namespace: "/", Rooms: []string{"red"}})
	if err != nil {
		t.Fatal(err)
	}
	version, kind := bytes.Clone(b), bytes.Clone(b)
	version[0]++
	kind[1] = 200
	for name, b := range map[string][]byte{"version": version, "kind": kind, "field": append(bytes.Clone(b), 200, 1, 1)} {
		if _, err := op.Parse(b); !errors.Is(err, op.ErrNotUnderstood) {
			t.Errorf("another %s: %v", name, err)
		}
		if _, _, err := op.ParseOutcome(b); err == nil {
			t.Errorf("another %s is an outcome", name)
		}
	}
}

// What is longer than may be is encoded by nobody and read by nobody.
func TestOperationsAreBounded(t *testing.T) {
	large := &op.Op{Kind: op.Emit, Namespace: "/", Event: op.Event{Data: make([]byte, op.MaxLen)}}
	many := &op.Op{Kind: op.Join, Namespace: "/", Rooms: make([]string, 1<<18+1)}
	for name, o := range map[string]*op.Op{"bytes": large, "rooms": many} {
		if b, err := op.Append([]byte("kept"), o); !errors.Is(err, op.ErrTooLarge) || string(b) != "kept" {
			t.Errorf("too many %s: %d bytes, %v", name, len(b), err)
		}
	}
	if _, err := op.Parse(make([]byte, op.MaxLen+1)); !errors.Is(err, op.ErrTooLarge) {
		t.Errorf("too many bytes: %v", err)
	}
	// A list of 1<<18+1 items of no bytes: their number must not be believed.
	b := append([]byte{1, byte(op.Join), 1, 1, '/', 11, 0x81, 0x80, 0x10}, make([]byte, 1<<18+1)...)
	if _, err := op.Parse(b); !errors.Is(err, op.ErrTooLarge) {
		t.Errorf("too many rooms: %v", err)
	}
}

func TestInvalidOperationsAreNeitherWrittenNorDone(t *testing.T) {
	event := op.Event{Data: []byte(`["x"]`)}
	for name, o := range map[string]op.Op{
		"nothing":                      {},
		"a kind of its own":            {Kind: 99, Namespace: "/"},
		"no namespace":                 {Kind: op.Leave},
		"a wait that is negative":      {Kind: op.Leave, Namespace: "/", Wait: -1},
		"an emit of nothing":           {Kind: op.Emit, Namespace: "/"},
		"a question of nothing":        {Kind: op.Ask, Namespace: "/"},
		"an emit to a topic":           {Kind: op.Emit, Namespace: "/", Event: event, Only: op.Only{Topic: "t"}},
		"an emit with rooms":           {Kind: op.Emit, Namespace: "/", Event: event, Rooms: []string{"red"}},
		"a leave with an event":        {Kind: op.Leave, Namespace: "/", Event: event},
		"a volatile leave":             {Kind: op.Leave, Namespace: "/", Event: op.Event{Volatile: true}},
		"a leave with descriptions":    {Kind: op.Leave, Namespace: "/", Describe: true},
		"a leave for a cause":          {Kind: op.Leave, Namespace: "/", Cause: base.CauseAdmin},
		"a leave of the transport":     {Kind: op.Leave, Namespace: "/", Transport: true},
		"a disconnect for no cause":    {Kind: op.Disconnect, Namespace: "/"},
		"a disconnect by the client":   {Kind: op.Disconnect, Namespace: "/", Cause: base.CauseClientDisconnect},
		"an expulsion of a connection": {Kind: op.Disconnect, Namespace: "/", Cause: base.CauseForbidden, Transport: true},
		"a cut with a reason":          {Kind: op.Disconnect, Namespace: "/", Cause: base.CauseAdmin, Reason: "why"},
		"a disconnect with a reason":   {Kind: op.Disconnect, Namespace: "/", Cause: base.CauseServerDisconnect, Reason: "why"},
	} {
		if err := o.Valid(); !errors.Is(err, op.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
		if b, err := op.Append(nil, &o); !errors.Is(err, op.ErrInvalid) || b != nil {
			t.Errorf("%s is encoded as %q, %v", name, b, err)
		}
	}
	for _, o := range []op.Outcome{{Done: -1}, {Skipped: -1}, {Short: -1}, {Met: op.Met{Queued: -1}}, {Met: op.Met{Rejected: -1}}} {
		if _, err := op.AppendOutcome(nil, op.Join, &o); !errors.Is(err, op.ErrInvalid) {
			t.Errorf("%+v: %v", o, err)
		}
	}
	if _, err := op.AppendOutcome(nil, 0, &op.Outcome{}); !errors.Is(err, op.ErrInvalid) {
		t.Errorf("the outcome of nothing: %v", err)
	}
}

// What came of an operation on two nodes is one outcome.
func TestOutcomesAddUp(t *testing.T) {
	met := op.Met{Queued: 1, Coalesced: 2, Dropped: 3, Rejected: 4}
	sum := op.Outcome{Done: 1, Sockets: []op.Description{{ID: "a"}}, Met: met}
	sum.Add(&op.Outcome{Done: 2, Skipped: 1, Short: 4, Sockets: []op.Description{{ID: "b"}}, Answers: []op.Answer{{Socket: "b"}}, Partial: true, Met: met})
	sum.Add(&op.Outcome{})
	want := op.Outcome{Done: 3, Skipped: 1, Short: 4, Sockets: []op.Description{{ID: "a"}, {ID: "b"}}, Answers: []op.Answer{{Socket: "b"}}, Partial: true}
	want.Met = op.Met{Queued: 2, Coalesced: 4, Dropped: 6, Rejected: 8}
	if !reflect.DeepEqual(sum, want) {
		t.Errorf("%+v, want %+v", sum, want)
	}
}

// Of what does not fit a part is told, as one; counts are never left out.
func TestOutcomesAreCutToFit(t *testing.T) {
	whole := op.Outcome{Done: 1000}
	for i := range 1000 {
		whole.Sockets = append(whole.Sockets, op.Description{ID: fmt.Sprint(i), Rooms: []string{"a room"}})
	}
	b, err := op.AppendPart(nil, op.Fetch, &whole, 5000)
	if err != nil || len(b) > 5000 {
		t.Fatalf("%d bytes, %v", len(b), err)
	}
	if _, out, err := op.ParseOutcome(b); err != nil || !out.Partial || out.Done != 1000 || len(out.Sockets) < 50 {
		t.Errorf("%d sockets, %v", len(out.Sockets), err)
	}
	if b, err = op.AppendPart(nil, op.Fetch, &whole, 1<<20); err != nil {
		t.Fatal(err)
	}
	if _, out, err := op.ParseOutcome(b); err != nil || !reflect.DeepEqual(*out, whole) {
		t.Errorf("what fits is not whole: %v", err)
	}
	if _, err := op.AppendPart(nil, op.Fetch, &whole, 3); !errors.Is(err, op.ErrTooLarge) {
		t.Errorf("no room for the counts: %v", err)
	}
}

// The numbers on the wire between nodes of different versions.
func TestKindsKeepTheirNumbers(t *testing.T) {
	for i, want := range []string{"none", "emit", "ask", "join", "leave", "disconnect", "fetch", "server-side", "unknown(8)"} {
		if got := op.Kind(i).String(); got != want {
			t.Errorf("kind %d is %s, want %s", i, got, want)
		}
	}
}

// FuzzParse: no bytes panic, and those that are an operation are the encoding of it.
func FuzzParse(f *testing.F) {
	for _, o := range []*op.Op{
		{Kind: op.Emit, Namespace: "/", Event: op.Event{Data: []byte(`["x",{"_placeholder":true,"num":0}]`), Attachments: [][]byte{{1, 2}, {}}, Volatile: true}},
		{Kind: op.Ask, Namespace: "/feed", Target: roster.Target{Rooms: []string{}, Except: []string{"red", ""}}, Event: op.Event{Data: []byte(`["x"]`)}, Wait: time.Second},
		{Kind: op.Join, Namespace: "/", Target: roster.Target{Socket: "s", Principal: "p"}, Rooms: []string{"red", "blue"}, Only: op.Only{Topic: "t", Address: "127.0.0.1"}},
		{Kind: op.Disconnect, Namespace: "/", Cause: base.CauseForbidden, Reason: "why"},
		{Kind: op.Fetch, Namespace: "/", Describe: true},
		{Kind: op.ServerSide, Namespace: "/feed", Event: op.Event{Data: []byte(`["x",1]`)}},
	} {
		b, err := op.Append(nil, o)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if o, err := op.Parse(b); err == nil {
			again, err := op.Append(nil, o)
			if err != nil || !bytes.Equal(again, b) {
				t.Fatalf("%q is read as %+v, which is encoded as %q, %v", b, o, again, err)
			}
		}
	})
}

// FuzzParseOutcome is the same for outcomes.
func FuzzParseOutcome(f *testing.F) {
	b, err := op.AppendOutcome(nil, op.Fetch, &op.Outcome{
		Done: 300, Skipped: 1, Sockets: []op.Description{{ID: "a", Principal: "p", Address: "::1", Rooms: []string{"a", "red"}}, {}},
		Answers: []op.Answer{{Socket: "a", Args: []byte("[1]"), Attachments: [][]byte{{}}}, {Code: "busy", Reason: "why"}}, Partial: true,
		Met: op.Met{Queued: 300, Coalesced: 1, Dropped: 2, Rejected: 3},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		if k, o, err := op.ParseOutcome(b); err == nil {
			again, err := op.AppendOutcome(nil, k, o)
			if err != nil || !bytes.Equal(again, b) {
				t.Fatalf("%q is read as %+v, which is encoded as %q, %v", b, o, again, err)
			}
		}
	})
}
