package admin

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/wire/sio"
)

// Bounds of a publish request's fields.
const (
	maxID  = 256                  // bytes; every client gets it
	maxTTL = 10 * 365 * 24 * 3600 // seconds
)

// publish serves POST /api/publish.
func (a *api) publish(w http.ResponseWriter, r *http.Request, who caller) error {
	t := workspaces.Get().(*workspace)
	defer workspaces.Put(t)
	buffer := buffers.Get().(*[]byte)
	defer buffers.Put(buffer)
	body, err := a.readInto(*buffer, w, r)
	if err != nil {
		return err
	}
	p, err := t.begin(r.Context(), a, &who, body)
	a.published(r.Context(), t, who, &p, err)
	if err != nil {
		return err
	}
	t.answer = p.append(r.Context(), t.answer[:0])
	w.Header()["Content-Type"] = typeJSON
	_, _ = w.Write(t.answer) // the caller is gone if this fails
	return nil
}

// Values of headers that every answer has; nobody writes to them.
var (
	typeJSON   = []string{"application/json"}
	typeNDJSON = []string{"application/x-ndjson"}
)

// workspaces are for reuse: a publish makes no garbage of its own.
var workspaces = sync.Pool{New: func() any { return new(workspace) }}

// workspace is what one goroutine reuses from one publish request to the next.
type workspace struct {
	object   object
	request  PublishRequest // the last one: its namespace and topic are probably the next one's
	patience patience
	answer   []byte
}

// publication is a message that has its place, and whose outcome may be waited for.
type publication struct {
	pending  *delivery.Pending
	receipt  bool      // it was asked for
	reliable bool      // its topic is
	until    time.Time // when to stop waiting for the outcome
}

// begin decodes and publishes one request. The body is not kept.
func (t *workspace) begin(ctx context.Context, a *api, who *caller, body []byte) (publication, error) {
	request := &t.request
	if malformed := t.parse(body); malformed != nil {
		return publication{}, malformed
	}
	if err := who.admit(request.Namespace); err != nil {
		return publication{}, err
	}
	declared, err := a.declared(request.Namespace, request.Topic)
	if err != nil {
		return publication{}, err
	}
	t.patience.begin(ctx, a.PublishTimeout)
	pending, err := a.Publisher.Publish(&t.patience, request)
	t.patience.end()
	if err != nil {
		return publication{}, err
	}
	p := publication{pending: pending, receipt: request.Receipt, reliable: declared.Reliable()}
	if p.waits() {
		p.until = time.Now().Add(a.ReceiptTimeout)
	}
	return p, nil
}

// waits reports whether the answer has an outcome: the request or the topic's mode
// asks for it.
func (p *publication) waits() bool { return p.receipt || p.reliable }

// append waits for the outcome if there is to be one, and appends the answer to a
// publish request (protocol.md 5) to dst, with the end of the line.
func (p *publication) append(ctx context.Context, dst []byte) []byte {
	dst = append(dst, `{"messageId":`...)
	dst = sio.AppendString(dst, p.pending.MessageID)
	dst = append(dst, `,"offset":`...)
	dst = strconv.AppendUint(dst, p.pending.Offset, 10)
	dst = append(dst, `,"epoch":`...)
	dst = sio.AppendString(dst, p.pending.Epoch)
	if p.pending.Duplicate { // the id was known: nothing was sent
		dst = append(dst, `,"duplicate":true`...)
	}
	if p.pending.Unkept { // else it goes without saying
		dst = append(dst, `,"unkept":true`...)
	}
	if p.waits() {
		dst = p.appendOutcome(ctx, dst)
	}
	return append(dst, '}', '\n')
}

// appendOutcome appends who got the message: that nobody did is never left out. All
// of it has to be asked for.
func (p *publication) appendOutcome(ctx context.Context, dst []byte) []byte {
	r := p.outcome(ctx)
	count := func(name string, n int) { dst = strconv.AppendInt(append(dst, name...), int64(n), 10) }
	count(`,"subscribers":`, r.Subscribers)
	if p.receipt {
		count(`,"queued":`, r.Queued)
		count(`,"coalesced":`, r.Coalesced)
		count(`,"dropped":`, r.Dropped)
		count(`,"spilled":`, r.Spilled)
	}
	count(`,"rejected":`, r.Rejected)
	if p.receipt || !r.Complete { // else it goes without saying
		dst = strconv.AppendBool(append(dst, `,"complete":`...), r.Complete)
	}
	return dst
}

func (p *publication) outcome(ctx context.Context) delivery.Receipt {
	if !p.pending.Complete() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, p.until)
		defer cancel()
	}
	return p.pending.Receipt(ctx)
}

// parse decodes the body of POST /api/publish into the request, whose payload is
// then a view of it.
func (t *workspace) parse(body []byte) *base.Error {
	o, p := &t.object, &t.request
	if malformed := o.parse(body); malformed != nil {
		*p = PublishRequest{}
		return malformed
	}
	*p = PublishRequest{Namespace: o.required("namespace", p.Namespace), Topic: o.required("topic", p.Topic)}
	o.payload(p)
	p.Key = o.text("key")
	if p.ID = o.text("id"); len(p.ID) > maxID {
		o.wrong("id", "%d bytes, the limit is %d", len(p.ID), maxID)
	}
	p.TTL = time.Duration(o.count("ttlMs", maxTTL*1000)) * time.Millisecond
	p.Receipt = o.flag("receipt", false)
	if o.has("to") && o.has("room") {
		o.wrong("room", "give to or room, not both")
	}
	p.Room = o.text("room")
	p.Socket, p.Principal = o.recipient("to")
	return o.end()
}

// payload takes payload or payloadBase64.
func (o *object) payload(p *PublishRequest) {
	text, binary := o.has("payload"), o.has("payloadBase64")
	switch {
	case text && binary:
		o.wrong("payloadBase64", "give payload or payloadBase64, not both")
	case binary:
		p.Binary = true
		p.Payload = o.base64("payloadBase64")
	case text:
		p.Payload, _ = o.take("payload")
	default:
		o.wrong("payload", "missing")
	}
}

// recipient takes {"socket":id} or {"principal":p}.
func (o *object) recipient(field string) (socket, principal string) {
	to := o.object(field)
	if to == nil {
		return "", ""
	}
	if to.has("socket") == to.has("principal") {
		o.wrong(field, "want either socket or principal")
	}
	socket, principal = to.text("socket"), to.text("principal")
	o.close(to)
	return socket, principal
}

// namespace returns a declared namespace.
func (a *api) namespace(path string) (*delivery.Namespace, error) {
	if n := a.Hub.Namespace(path); n != nil {
		return n, nil
	}
	return nil, refuse(base.CodeUnknown, "namespace: %q is not declared", path)
}

// declared returns the declaration of a topic.
func (a *api) declared(namespace, topic string) (*delivery.Declared, error) {
	n, err := a.namespace(namespace)
	if err != nil {
		return nil, err
	}
	if d := n.Declared(topic); d != nil {
		return d, nil
	}
	return nil, refuse(base.CodeUnknown, "topic: %q is not declared in namespace %q%s", topic, namespace, patternAdvice(topic))
}

// patternAdvice names the patterns there can be, for the error of a request for another one.
func patternAdvice(topic string) string {
	if !strings.HasSuffix(topic, "*") {
		return ""
	}
	return ": a pattern means topics of a declared one, such as trades.* or trades.A* where trades.* is declared"
}
