package weir

import (
	"context"

	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/socketio"
	"github.com/streamweir/weir/internal/wire/sio"
)

// publish is a client's publish: it leaves the loop, so that no shard ever waits for an inbox (architecture.md D3). One that has
// to be held to a schema goes to a worker, as what computes does.
func (r *request) publish(in *socketio.Incoming) {
	p, may, err := r.wantsPublished(in)
	if err != nil {
		r.refuse(err)
		return
	}
	later := *r
	later.computes = r.s.ns.schemas.Load().find(r.topic) != nil
	early := r.s.ns.opts.InboundAck == AckOnReceipt
	answer := map[string]any{"ok": true}
	later.decide(in.Bytes(), may, func(ctx context.Context) error {
		pending, err := later.s.ns.begin(ctx, byClient, later.topic, p, !early)
		if err != nil {
			return err
		}
		answer["messageId"] = pending.MessageID
		if pending.Unkept {
			answer["unkept"] = true
		}
		if !early {
			tellFates(answer, pending.Receipt(ctx))
		}
		return nil
	}, func(err error) {
		if err != nil {
			later.refuse(err)
			return
		}
		later.accept(answer)
	})
}

// tellFates adds to an answer what is not as a publisher expects.
func tellFates(answer map[string]any, out delivery.Receipt) {
	if out.Rejected > 0 {
		answer["rejected"] = out.Rejected // for so many the promise has ended (P6)
	}
	if !out.Complete {
		answer["complete"] = false
	}
}

// wantsPublished is what a client wants published, and what has to allow it; nil: nothing has to.
func (r *request) wantsPublished(in *socketio.Incoming) (p *delivery.Publication, may func(context.Context) error, err error) {
	n := r.s.ns
	if !n.opts.ClientPublish && !n.opts.ClientPublishGranted {
		return nil, nil, coded(ErrForbidden, "clients may not publish in "+n.path+" (clientPublish)")
	}
	t, err := n.topic(r.topic)
	if err != nil {
		return nil, nil, err
	}
	if p, err = r.publication(in); err != nil {
		return nil, nil, err
	}
	may, err = r.permission(ActionPublish, t)
	return p, may, err
}

// publication takes the payload out of a client's publish: its raw JSON, or the
// attachment it stands for.
func (r *request) publication(in *socketio.Incoming) (*delivery.Publication, error) {
	p := &delivery.Publication{Payload: []byte(r.arg.Get("payload").Raw)}
	if len(in.Attachments) == 0 {
		return p, nil
	}
	places, err := sio.Placeholders(nil, p.Payload, len(in.Attachments))
	if err != nil || len(places) != 1 || places[0].End-places[0].Start != len(p.Payload) {
		return nil, coded(ErrInvalid, "a payload is JSON or one binary part; binary inside of JSON is for events")
	}
	p.Payload, p.Binary = in.Attachments[places[0].Num], true
	return p, nil
}
