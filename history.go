package weir

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/tidwall/gjson"

	"github.com/streamweir/weir/internal/admin"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/topiclog"
)

// What is kept of a topic that has a history, and what a client is given of it.
const (
	maxHistory          = 100_000
	defaultHistoryBytes = 1 << 20
	maxLast             = 1000 // messages that a subscription begins with
	defaultPage         = 100  // records of an answer
	historyTimeout      = 5 * time.Second
)

// memory is what a topic without a journal keeps of itself.
func (t *TopicOptions) memory() topiclog.Limits {
	if t.History == 0 {
		return topiclog.Limits{}
	}
	return topiclog.Limits{Records: t.History, Bytes: orDefault(t.HistoryBytes, defaultHistoryBytes)}
}

func (t *TopicOptions) validateHistory(p *problems, at string) {
	within(p, at+".History", t.History, 0, maxHistory)
	within(p, at+".HistoryBytes", t.HistoryBytes, 0, maxNumber)
}

// last is how many of the newest messages a subscription asks for; 0: none.
func (r *request) last(t *TopicOptions, o *wishes) (int, error) {
	n := int(min(r.arg.Get("last").Uint(), maxLast)) // checkShape has seen that it is a whole number
	switch {
	case n == 0:
		return 0, nil
	case o.asked:
		return 0, coded(ErrInvalid, "snapshot and last exclude each other: the newest messages have the newest value among them")
	case t.History == 0:
		o.ignore("last", "the topic has no history")
		return 0, nil
	}
	o.Snapshot = false
	return min(n, t.History), nil
}

// mayRecall adds to what allows a subscription what allows it to begin with the topic's history.
func (r *request) mayRecall(subscribe func(context.Context) error, t *TopicOptions) (func(context.Context) error, error) {
	history, err := r.permission(ActionHistory, t)
	switch {
	case subscribe == nil:
		return history, err
	case history == nil:
		return subscribe, err
	}
	return func(ctx context.Context) error {
		if err := subscribe(ctx); err != nil {
			return err
		}
		return history(ctx)
	}, nil
}

// recall makes the newest messages of a topic ready for a subscription. Without them it begins as others do.
func (r *request) recall(ctx context.Context, o *wishes) error {
	ctx, cancel := context.WithTimeout(ctx, historyTimeout)
	defer cancel()
	err := r.s.out().Recall(ctx, r.topic, &o.SubscribeOptions, o.last)
	if errors.Is(err, delivery.ErrLog) {
		r.s.ns.log.Error("the log of a topic cannot be read", "topic", clipped(r.topic), "error", err)
		o.ignore("last", "the topic's log could not be read")
		return nil
	}
	return wrap(err, "")
}

// history answers weir:history: what the topic's log keeps for the client.
//
//weir:loop
func (r *request) history() {
	n := r.s.ns
	t, err := n.topic(r.topic)
	limit := r.arg.Get("limit")
	switch {
	case !r.asks:
		err = coded(ErrInvalid, "history is answered to an acknowledgement callback, and there is none: want "+shapeOf("history")+" and a callback")
	case !n.opts.ClientHistory:
		err = coded(ErrForbidden, "clients may not read the history of topics in "+n.path+" (clientHistory)")
	case limit.Exists() && limit.Type != gjson.Null && (limit.Uint() < 1 || limit.Uint() > admin.HistoryMost):
		err = Errorf(ErrInvalid, "limit: want 1 to %d", admin.HistoryMost)
	}
	var may func(context.Context) error
	if err == nil {
		may, err = r.permission(ActionHistory, t)
	}
	if err != nil {
		r.refuse(err)
		return
	}
	later := *r
	var answer json.RawMessage
	later.decide(len(r.arg.Raw), may, func(ctx context.Context) (err error) {
		answer, err = later.page(ctx)
		return err
	}, func(err error) {
		if err != nil {
			later.refuse(err)
			return
		}
		later.accept(answer)
	})
}

// page reads what is asked for and makes the answer, of at most half of what the events lane takes.
func (r *request) page(ctx context.Context) (json.RawMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, historyTimeout)
	defer cancel()
	n := r.s.ns
	if r.s.gone.Load() {
		return nil, ErrDisconnected // nobody waits for it
	}
	q := admin.HistoryRequest{
		Topic: r.topic, Epoch: r.arg.Get("epoch").Str,
		Records: defaultPage, Bytes: max(n.opts.eventsPolicy().MaxBytes/2, 1),
	}
	if from := r.arg.Get("from"); from.Exists() && from.Type != gjson.Null {
		q.From = max(from.Uint(), 1)
	}
	if limit := r.arg.Get("limit"); limit.Uint() > 0 {
		q.Records = int(limit.Uint())
	}
	b, err := n.history(ctx, &q, r.s.out().Reader())
	if err != nil {
		return nil, err
	}
	answer, err := json.Marshal(struct {
		OK    bool   `json:"ok"`
		Topic string `json:"topic"`
		admin.Page
	}{true, r.topic, admin.NewPage(b, q.Bytes)})
	if err != nil {
		return nil, &Error{Code: codeInternal, Cause: err}
	}
	return answer, nil
}

// history reads the log of a topic for a reader; nil: for whoever may read everything.
func (n *Namespace) history(ctx context.Context, q *admin.HistoryRequest, reader *topiclog.Reader) (topiclog.Batch, error) {
	b, err := n.d.History(ctx, q.Topic, delivery.HistoryQuery{
		Epoch: q.Epoch, From: q.From, For: reader, Limit: topiclog.Limit{Records: q.Records, Bytes: q.Bytes},
	})
	switch {
	case errors.Is(err, topiclog.ErrEpoch):
		return b, coded(ErrInvalid, "epoch: offsets of "+clipped(q.Epoch)+" say nothing in that of now, "+b.Epoch)
	case errors.Is(err, delivery.ErrNoHistory):
		return b, coded(ErrInvalid, err.Error())
	}
	return b, wrap(err, "")
}

// history is admin.Options.History.
func (s *Server) history(ctx context.Context, q admin.HistoryRequest) (topiclog.Batch, error) {
	n := s.byPath.Find(q.Namespace)
	if n == nil {
		return topiclog.Batch{}, inward(coded(ErrUnknown, "unknown namespace "+q.Namespace))
	}
	if _, err := n.topic(q.Topic); err != nil {
		return topiclog.Batch{}, inward(err)
	}
	b, err := n.history(ctx, &q, nil)
	return b, inward(err)
}
