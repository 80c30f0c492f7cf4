package weir

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/streamweir/weir/internal/args"
	"github.com/streamweir/weir/internal/ask"
	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/nodes"
	"github.com/streamweir/weir/internal/op"
	"github.com/streamweir/weir/internal/packet"
	"github.com/streamweir/weir/internal/wire/sio"
	"github.com/streamweir/weir/internal/workers"
)

// ServerSideEvent is an event that the application on another node has sent to the application on this one.
type ServerSideEvent struct {
	Name string
	Node string // the name of the node that has sent it (ClusterOptions.Node); "": it is not known here yet
	Args
}

// ServerSideHandler handles an event of another node. What it returns is the answer, if that node waits for one: a value as an
// argument of Emit, or the error, of which an *Error is told, and of any other that the handler failed.
type ServerSideHandler func(ctx context.Context, e *ServerSideEvent) (answer any, err error)

// ServerSideReply is one node's answer.
type ServerSideReply struct {
	Node string // its name
	Args *Args  // nil where there is an Err
	Err  error  // what its handler returned; ErrBusy if too much waits there for handlers; a Code "no_handler" if it has none
}

// What waits on a node for the handlers of the events that one other node has sent to a namespace.
const (
	serverSideEvents  = 1024
	serverSideBytes   = 4 << 20
	serverSideSenders = 1024
)

// OnServerSide sets the handler of an event that other nodes send with ServerSideEmit or ServerSideAsk, in place of an earlier
// one; nil takes it away. Handlers run on the server's workers: for each other node one after the other, in the order in which
// it has sent the events. What comes while 1,024 events, or 4 MiB, of a node wait is refused: whoever waits for the answer is
// told, and weir_cluster_refused_total counts it.
func (n *Namespace) OnServerSide(event string, h ServerSideHandler) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.serverSide == nil {
		n.serverSide = make(map[string]ServerSideHandler)
	}
	n.serverSide[event] = h
}

// ServerSideEmit sends an event to the application on all other nodes (OnServerSide), and to no client: Socket.IO's
// serverSideEmit. It is sent once, in the order of this node's, to the nodes that can be reached then; one without a handler
// ignores it. Without a cluster there is no other node. Arguments are those of Emit. Errors: ErrInvalid, ErrTooLarge for more
// than 16 MiB, and ErrUnavailable if the broker has not taken it.
func (n *Namespace) ServerSideEmit(ctx context.Context, event string, args ...any) error {
	o, err := n.serverSideOp(event, args)
	if err != nil {
		return err
	}
	if !n.srv.fleet.do(ctx, o) {
		return coded(ErrUnavailable, "the event was not sent to other nodes: the broker has not taken it")
	}
	return nil
}

// ServerSideAsk is ServerSideEmit, and waits for the answers of all other nodes, at most until ctx ends (30 s if it has no
// deadline, a minute in all). Errors: those of ServerSideEmit, ErrBusy, and ErrTimeout, whose text names the nodes that have not
// answered: with these it still returns the answers that came. An answer has room for 4 MiB, those of all for 64 MiB: a node
// whose answer has none is named, too.
func (n *Namespace) ServerSideAsk(ctx context.Context, event string, args ...any) ([]ServerSideReply, error) {
	if _, limited := ctx.Deadline(); !limited {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, askPatience)
		defer cancel()
	}
	o, err := n.serverSideOp(event, args)
	if err != nil {
		return nil, err
	}
	asked, err := op.Append(nil, o)
	if err != nil {
		return nil, sizeError(err)
	}
	var list []ServerSideReply
	missing, err := n.srv.fleet.ask(ctx, operations(n.path), asked, func(of nodes.Node, answer []byte) bool {
		kind, out, err := op.ParseOutcome(answer)
		if err != nil || kind != op.ServerSide || len(out.Answers) != 1 {
			return false
		}
		r := repliesOf([]ask.Reply{ask.ReplyOf(&out.Answers[0])}, of.Name)[0]
		list = append(list, ServerSideReply{Node: of.Name, Args: r.Args, Err: r.Err})
		return true
	})
	if err != nil {
		return list, err
	}
	return list, missing.err()
}

// askPatience is how long other nodes' handlers are waited for, unless the context says so.
const askPatience = 30 * time.Second

// serverSideOp is an event as other nodes get it.
func (n *Namespace) serverSideOp(event string, args []any) (*op.Op, error) {
	f, _, err := packet.Event(sio.EventHeader{Namespace: n.path}, event, args)
	if err != nil {
		return nil, wrap(err, "")
	}
	e := delivery.Emission{Frame: f}
	v, err := e.Value()
	if err != nil {
		return nil, wrap(err, "")
	}
	size := len(v.Data)
	for _, part := range v.Attachments {
		size += len(part)
	}
	if size > op.MaxLen/2 {
		return nil, Errorf(ErrTooLarge, "an event of %d bytes for other nodes: want at most %d", size, op.MaxLen/2)
	}
	v.Verbatim = false
	return &op.Op{Kind: op.ServerSide, Namespace: n.path, Event: v}, nil
}

func sizeError(err error) error {
	if errors.Is(err, op.ErrTooLarge) {
		return &Error{Code: ErrTooLarge, Reason: err.Error(), Cause: err}
	}
	return wrap(err, "")
}

// backstage is what waits for a namespace's handlers of other nodes' events.
type backstage struct {
	limits workers.MailboxLimits

	mu    sync.Mutex
	boxes map[string]*workers.Mailbox // by the id of the sender
}

// box is the mailbox of a sender's events; nil: there are too many senders.
func (b *backstage) box(from string, pool *workers.Pool) *workers.Mailbox {
	b.mu.Lock()
	defer b.mu.Unlock()
	m := b.boxes[from]
	if m != nil {
		return m
	}
	for id, old := range b.boxes { // those of nodes that have left are among them
		if old.Idle() {
			delete(b.boxes, id)
		}
	}
	if len(b.boxes) >= serverSideSenders {
		return nil
	}
	if b.boxes == nil {
		b.boxes = make(map[string]*workers.Mailbox)
	}
	m = new(workers.Mailbox)
	m.Init(pool, &b.limits, nil)
	b.boxes[from] = m
	return m
}

// serverSideJob runs the handler of one event.
type serverSideJob struct {
	n      *Namespace
	e      ServerSideEvent
	done   chan struct{}
	answer op.Answer
}

// Run implements workers.Job.
func (j *serverSideJob) Run(ctx context.Context) {
	defer close(j.done)
	j.n.mu.Lock()
	h := j.n.serverSide[j.e.Name]
	j.n.mu.Unlock()
	if h == nil {
		j.refuse(&Error{Code: codeNoHandler, Reason: "nothing handles the event " + clipped(j.e.Name) + " on this node"})
		return
	}
	r := stint{event: j.e.Name, of: j.n}
	running, end := j.n.srv.handling.begin(ctx, &r)
	var answer any
	err := error(errUnfinished) // unless it returns: a handler may end its goroutine
	defer func() {
		j.n.srv.handling.end(&r)
		err = overdueError(running, err)
		if end(); err != nil {
			j.refuse(err)
			return
		}
		if err := j.say(answer); err != nil {
			j.n.log.Error("what a handler has returned cannot be told to the node that asked", "event", j.e.Name, "error", err)
			j.refuse(errPanicked)
		}
	}()
	answer, err = j.call(running, h)
}

func (j *serverSideJob) call(ctx context.Context, h ServerSideHandler) (answer any, err error) {
	defer j.n.caught("OnServerSide", j.e.Name, nil, &err)
	return h(ctx, &j.e)
}

// refuse makes the answer an error.
func (j *serverSideJob) refuse(err error) {
	why := refusalOf(err)
	j.answer = op.Answer{Code: why.Code, Reason: why.Reason}
}

// say makes it a value.
func (j *serverSideJob) say(value any) error {
	f, _, err := packet.Event(sio.EventHeader{Namespace: j.n.path}, "answer", []any{value})
	if err != nil {
		return err
	}
	data, attachments, err := packet.Split(f)
	if err != nil {
		return err
	}
	j.answer = op.Answer{Args: slices.Concat([]byte("["), bytes.Join(sio.SplitArgs(data, nil)[1:], []byte(",")), []byte("]")), Attachments: attachments}
	return nil
}

// errNoRoomForEvent is told when too much of a node waits for handlers.
var errNoRoomForEvent = &base.Error{Code: base.CodeBusy, Reason: "too many events of the node wait for handlers"}

// beginServerSide gives an event of another node to its handler, and returns how its answer is told.
func (f *fleet) beginServerSide(from string, o *op.Op) (answer func(ctx context.Context, most int) []byte) {
	n := f.of.byPath.Find(o.Namespace)
	var name string
	list := sio.SplitArgs(o.Event.Data, nil)
	if n == nil || !json.Valid(o.Event.Data) || len(list) == 0 || json.Unmarshal(list[0], &name) != nil {
		return nil
	}
	j := &serverSideJob{n: n, done: make(chan struct{}), e: ServerSideEvent{Name: name, Node: f.nameOf(from)}}
	j.e.in = args.New(o.Event.Data, 1, o.Event.Attachments)
	if !f.push(from, j, o) {
		f.refused.Add(1)
		j.answer = op.Answer{Code: errNoRoomForEvent.Code.Name, Reason: errNoRoomForEvent.Reason}
		close(j.done)
	}
	return func(ctx context.Context, most int) []byte {
		if ctx.Err() != nil {
			return nil // nobody waits for it
		}
		ctx, cancel := early(ctx)
		defer cancel()
		select {
		case <-j.done:
		case <-ctx.Done():
			return nil
		}
		out := op.Outcome{Done: 1, Answers: []op.Answer{j.answer}}
		data, err := op.AppendPart(nil, op.ServerSide, &out, most)
		if err != nil {
			return nil
		}
		return data
	}
}

// push puts an event behind those of its sender, if there is room.
func (f *fleet) push(from string, j *serverSideJob, o *op.Op) bool {
	n := len(o.Event.Data)
	for _, part := range o.Event.Attachments {
		n += len(part)
	}
	box := j.n.backstage.box(from, f.of.workers)
	if box == nil {
		return false
	}
	if jobs, held := box.Held(); jobs >= serverSideEvents || (jobs > 0 && held+n > serverSideBytes) || !f.fits(n+workers.JobBytes) {
		return false
	}
	return box.Push(j, n) != workers.Refused
}

// fits reports whether the budget has room for so many bytes; who takes them counts them.
func (f *fleet) fits(n int) bool {
	if !f.Claim(n) {
		return false
	}
	f.Hold(-n)
	return true
}

// nameOf is the name of the node with that id; "": it is not known.
func (f *fleet) nameOf(id string) string {
	if r := f.nodes.Load(); r != nil {
		return r.NameOf(id)
	}
	return ""
}
