package ask_test

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/streamweir/weir/internal/ask"
	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/lane"
	"github.com/streamweir/weir/internal/op"
)

// task is a base.Task.
type task func()

func (f task) Run() { f() }

// client is one with a socket in /. It takes everything at once; when that is the question, asked
// is called by its loop afterwards.
type client struct {
	shard  *delivery.Shard
	socket *delivery.Socket
	asked  func(id uint64)
}

func (c *client) Window() int               { return 1 << 15 }
func (c *client) Deflates() bool            { return false }
func (c *client) Control(dst []byte) []byte { return dst }
func (c *client) Unsent() int               { return 0 }
func (c *client) Cut(base.Cause)            {}
func (c *client) Reading(bool)              {}

func (c *client) Write(p []byte, _ base.Packing) (int, error) {
	if i := bytes.Index(p, []byte(`["well?"]`)); i > 0 && c.asked != nil {
		id := uint64(p[i-1] - '0') // the first ones have one digit
		c.shard.Post(task(func() { c.asked(id) }))
	}
	return len(p), nil
}

// hub is one with two clients, one on each shard.
func hub(t *testing.T) (*delivery.Hub, [2]*client) {
	t.Helper()
	events := lane.Policy{Overflow: base.Disconnect, MaxMessages: 100, MaxBytes: 1 << 20, Weight: 1}
	h := delivery.New(delivery.Options{Shards: 2, Namespaces: []delivery.NamespaceSpec{{Path: "/", Events: events}}})
	h.Start()
	t.Cleanup(h.Close)
	var clients [2]*client
	for i, sh := range h.Shards() {
		done := make(chan struct{})
		sh.Post(task(func() {
			defer close(done)
			c := &client{shard: sh}
			conn := sh.Open(c, c)
			c.socket = conn.OpenSocket(h.Namespace("/"), conn.NewSocketID(), "", nil)
			clients[i] = c
		}))
		<-done
	}
	return h, clients
}

// question is one as another node gets it.
func question(t *testing.T) *op.Op {
	t.Helper()
	b, err := op.Append(nil, &op.Op{Kind: op.Ask, Namespace: "/", Event: op.Event{Data: []byte(`["well?"]`)}})
	if err != nil {
		t.Fatal(err)
	}
	o, err := op.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// do asks, and waits for the answers.
func do(ctx context.Context, h *delivery.Hub, o *op.Op) (op.Outcome, error) {
	a, err := ask.Begin(ctx, h, o, nil, ample())
	if err != nil {
		return op.Outcome{}, err
	}
	return a.Wait(ctx)
}

// A question is a value, and so is what came of it: answers, and why there are none.
func TestQuestionsAreValues(t *testing.T) {
	h, clients := hub(t)
	clients[0].asked = func(id uint64) {
		clients[0].socket.Answer(id, delivery.Answer{Args: []byte(`["yes",{"_placeholder":true,"num":0}]`), Attachments: [][]byte{{7}}})
	}
	clients[1].asked = func(uint64) { clients[1].socket.Close(base.CauseServerDisconnect, nil) }
	done, err := do(context.Background(), h, question(t))
	if err != nil {
		t.Fatal(err)
	}
	b, err := op.AppendOutcome(nil, op.Ask, &done)
	if err != nil {
		t.Fatal(err)
	}
	_, out, err := op.ParseOutcome(b)
	if err != nil || out.Done != 2 || len(out.Answers) != 2 || out.Partial {
		t.Fatalf("%+v, %v", out, err)
	}
	for i := range out.Answers {
		a := &out.Answers[i]
		r := ask.ReplyOf(a)
		if a.Socket == clients[1].socket.ID {
			if !errors.Is(r.Err, &base.Error{Code: base.CodeDisconnected}) || r.Err.Error() == a.Code {
				t.Errorf("who has left: %+v, %v", a, r.Err)
			}
			continue
		}
		var said string
		var data []byte
		if err := r.Args.Decode(&said, &data); r.Err != nil || a.Socket != clients[0].socket.ID || err != nil || said != "yes" || string(data) != "\x07" {
			t.Errorf("who has answered: %+v, %q %q, %v", a, said, data, err)
		}
	}
}

// Who does not wait to the end gets the answers that came, and knows that they are not all.
func TestAnswersOfThoseWhoDoNotWaitArePartial(t *testing.T) {
	h, clients := hub(t)
	ctx, cancel := context.WithCancel(context.Background())
	answered := make(chan struct{})
	clients[0].asked = func(id uint64) {
		clients[0].socket.Answer(id, delivery.Answer{Args: []byte(`[]`)})
		close(answered)
	}
	clients[1].asked = func(uint64) {
		go func() { <-answered; cancel() }()
	}
	out, err := do(ctx, h, question(t))
	if !errors.Is(err, context.Canceled) || !out.Partial || out.Done != 2 || len(out.Answers) != 1 {
		t.Errorf("%+v, %v", out, err)
	}
}

// A question to one socket is over when that has answered, and one to nobody at once.
func TestQuestionsToOneSocket(t *testing.T) {
	h, clients := hub(t)
	clients[1].asked = func(id uint64) { clients[1].socket.Answer(id, delivery.Answer{Args: []byte(`[]`)}) }
	other := []byte(clients[1].socket.ID)
	if other[19]++; other[19] > 'z' { // of this node, and nobody's
		other[19] = '0'
	}
	for to, want := range map[string]int{clients[1].socket.ID: 1, string(other): 0, "of another node": 0} {
		o := question(t)
		o.Target.Socket = to
		out, err := do(t.Context(), h, o)
		if err != nil || len(out.Answers) != want || out.Done != want {
			t.Errorf("%s: %+v, %v", to, out, err)
		}
	}
}

func TestWhatIsNoQuestionIsRefused(t *testing.T) {
	h, _ := hub(t)
	for _, row := range []struct {
		op   op.Op
		want error
	}{
		{op.Op{Kind: op.Ask, Namespace: "/"}, op.ErrInvalid},
		{op.Op{Kind: op.Fetch, Namespace: "/"}, op.ErrInvalid},
		{op.Op{Kind: op.Ask, Namespace: "/other", Event: op.Event{Data: []byte(`["x"]`)}}, delivery.ErrUnknownNamespace},
		{op.Op{Kind: op.Ask, Namespace: "/", Event: op.Event{Data: []byte(`[]`)}}, &base.Error{Code: base.CodeInvalid}},
	} {
		if _, err := do(t.Context(), h, &row.op); !errors.Is(err, row.want) {
			t.Errorf("%+v: %v", row.op, err)
		}
	}
}

// A code that this version does not know is an error all the same.
func TestReplyOfACodeNobodyKnows(t *testing.T) {
	r := ask.ReplyOf(&op.Answer{Socket: "a", Code: "new", Reason: "why"})
	if r.Err == nil || r.Args.Len() != 0 || r.Socket != "a" {
		t.Errorf("%+v", r)
	}
}
