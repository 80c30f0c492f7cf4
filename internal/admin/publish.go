package admin

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/delivery"
)

// Bounds of a publish request's fields.
const (
	maxID  = 256                  // bytes; every client gets it
	maxTTL = 10 * 365 * 24 * 3600 // seconds
)

// published is the answer to a publish request (design 5.3).
type published struct {
	MessageID string `json:"messageId"`
	Offset    uint64 `json:"offset"`
	Epoch     string `json:"epoch"`
	Duplicate bool   `json:"duplicate,omitempty"` // the id was known: nothing was sent
	*outcome         // with receipt
	Rejected  *int   `json:"rejected,omitempty"` // with receipt, and for reliable topics
	Complete  *bool  `json:"complete,omitempty"` // with receipt; else only when false: not every shard has answered
}

// outcome is the part of delivery.Receipt that has to be asked for.
type outcome struct {
	Subscribers int `json:"subscribers"`
	Queued      int `json:"queued"`
	Coalesced   int `json:"coalesced"`
	Dropped     int `json:"dropped"`
	Spilled     int `json:"spilled"`
}

// publish serves POST /api/publish.
func (a *api) publish(w http.ResponseWriter, r *http.Request) error {
	body, err := a.readBody(w, r)
	if err != nil {
		return err
	}
	p, err := a.begin(r.Context(), body)
	if err != nil {
		return err
	}
	a.wrote(r, "publish", slog.String("namespace", p.request.Namespace), slog.String("topic", p.request.Topic),
		slog.String("messageId", p.pending.MessageID))
	return writeJSON(w, http.StatusOK, p.finish(r.Context()))
}

// publication is a message that has its place, and whose outcome may be waited for.
type publication struct {
	request  *PublishRequest
	pending  *delivery.Pending
	reliable bool
	until    time.Time // when to stop waiting for the outcome
}

// begin decodes and publishes one request.
func (a *api) begin(ctx context.Context, body []byte) (*publication, error) {
	request, malformed := parsePublish(body)
	if malformed != nil {
		return nil, malformed
	}
	declared, err := a.declared(request.Namespace, request.Topic)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, a.PublishTimeout)
	defer cancel()
	pending, err := a.Publisher.Publish(ctx, request)
	if err != nil {
		return nil, err
	}
	return &publication{
		request: request, pending: pending, reliable: declared.Reliable(), until: time.Now().Add(a.ReceiptTimeout),
	}, nil
}

// finish waits for the outcome if the request or the topic's mode asks for it.
func (p *publication) finish(ctx context.Context) published {
	out := published{
		MessageID: p.pending.MessageID, Offset: p.pending.Offset, Epoch: p.pending.Epoch, Duplicate: p.pending.Duplicate,
	}
	if !p.request.Receipt && !p.reliable {
		return out
	}
	ctx, cancel := context.WithDeadline(ctx, p.until)
	defer cancel()
	r := p.pending.Receipt(ctx)
	out.Rejected = &r.Rejected
	if p.request.Receipt {
		out.outcome = &outcome{r.Subscribers, r.Queued, r.Coalesced, r.Dropped, r.Spilled}
	}
	if p.request.Receipt || !r.Complete {
		out.Complete = &r.Complete
	}
	return out
}

// parsePublish decodes the body of POST /api/publish.
func parsePublish(body []byte) (*PublishRequest, *base.Error) {
	o, malformed := parseObject(body)
	if malformed != nil {
		return nil, malformed
	}
	p := &PublishRequest{Namespace: o.required("namespace"), Topic: o.required("topic")}
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
	return p, o.end()
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
	return nil, refuse(base.CodeUnknown, "topic: %q is not declared in namespace %q", topic, namespace)
}
