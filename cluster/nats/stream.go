package nats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/streamweir/weir/cluster"
	"github.com/streamweir/weir/internal/anchor"
)

// JetStream's codes of errors, beyond those that its client knows.
const (
	codeWrongLast       = 10071 // the log's last message is another
	codeWrongLastUnsaid = 10164 // or another append to it is under way
	codeNoMessage       = 10037
	codeNameInUse       = 10058
)

// isCode reports whether an error is JetStream's of one of these codes.
func isCode(err error, codes ...jetstream.ErrorCode) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && slices.Contains(codes, api.ErrorCode)
}

// ensure has the stream be there and as it must be, and reports whether it was not there. The first sequence of a new one is
// above all that an earlier one can have given, so that no append that was meant for that finds its place here.
func (f *feed) ensure(ctx context.Context) (made bool, err error) {
	js, err := jetstream.New(f.conn)
	if err != nil {
		return false, err
	}
	s, err := js.Stream(ctx, f.names.stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		made = true
		c := jetstream.StreamConfig{Name: f.names.stream, FirstSeq: cluster.OffsetAt(time.Now()), Replicas: f.replicas(), Duplicates: time.Minute}
		f.shape(&c)
		if s, err = js.CreateStream(ctx, c); isCode(err, codeNameInUse) { // by another node, at the same time
			s, err = js.Stream(ctx, f.names.stream)
		}
	}
	if err != nil {
		return false, fmt.Errorf("look for the stream %q of JetStream: %w", f.names.stream, err)
	}
	c := s.CachedInfo().Config
	if f.shape(&c) {
		if _, err := js.UpdateStream(ctx, c); err != nil {
			return false, fmt.Errorf("change the stream %q of JetStream: %w", f.names.stream, err)
		}
	}
	return made, nil
}

// replicas is how many a new stream has.
func (f *feed) replicas() int {
	switch n := f.of.opts.Replicas; {
	case n > 0:
		return n
	case f.conn.ConnectedClusterName() != "":
		return 3
	}
	return 1
}

// shape makes a configuration what it must be, and reports whether it was another; the rest is the operator's.
func (f *feed) shape(c *jetstream.StreamConfig) (changed bool) {
	o := f.of.opts
	subjects := []string{f.names.log + "*"}
	r := jetstream.RePublish{Source: subjects[0], Destination: f.names.live + "{{wildcard(1)}}"}
	changed = !slices.Equal(c.Subjects, subjects) || c.RePublish == nil || *c.RePublish != r || !c.AllowDirect || !c.AllowAtomicPublish ||
		c.MaxAge != o.LogTTL || (o.Replicas > 0 && c.Replicas != o.Replicas)
	c.Subjects, c.RePublish, c.AllowDirect, c.AllowAtomicPublish, c.MaxAge = subjects, &r, true, true, o.LogTTL
	if o.Replicas > 0 {
		c.Replicas = o.Replicas
	}
	return changed
}

// expect is the header by which an append names the message that must be the last.
const expect = "Nats-Expected-Last-Subject-Sequence"

// never is the sequence of no message.
const never = "9000000000000000000"

// fence goes the way of an append to the stream's leader, which refuses it, and back: so there is a leader, and what was
// subscribed to before is known to it. A stream that is gone is made again. It tries as long as ctx allows.
func (f *feed) fence(ctx context.Context) error {
	ctx, cancel := f.call(ctx)
	defer cancel()
	for {
		_, err := f.store(ctx, &nats.Msg{Subject: f.names.log + fence, Header: headed(expect, never)})
		switch {
		case isCode(err, codeWrongLast, codeWrongLastUnsaid):
			return nil
		case err == nil:
			return errors.New("the stream takes what it must refuse")
		case !errors.Is(err, nats.ErrNoResponders):
			return fmt.Errorf("ask the stream's leader: %w", f.cause(err))
		}
		made, err := f.ensure(ctx)
		if err != nil {
			return f.cause(err)
		}
		if made {
			f.Queue().Lapsed()
			continue
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the stream %q of JetStream has no leader: %w", f.names.stream, ctx.Err())
		case <-time.After(anchor.RetryEvery):
		}
	}
}

// store has the stream take a message, and returns its sequence.
func (f *feed) store(ctx context.Context, msg *nats.Msg) (seq uint64, err error) {
	answer, err := f.conn.RequestMsgWithContext(ctx, msg)
	if err != nil {
		return 0, err
	}
	var ack struct {
		Error    *jetstream.APIError `json:"error"`
		Stream   string              `json:"stream"`
		Sequence uint64              `json:"seq"`
	}
	if err := json.Unmarshal(answer.Data, &ack); err != nil {
		return 0, errAnswer
	}
	if ack.Error != nil {
		return 0, ack.Error
	}
	if ack.Stream != f.names.stream || ack.Sequence == 0 {
		return 0, errAnswer
	}
	return ack.Sequence, nil
}

// errAnswer says that an answer was not understood.
var errAnswer = errors.New("NATS has answered what was not asked")

// stored is a message of the stream.
type stored struct {
	heading
	seq  uint64
	data []byte
}

// headingOf reads what a message of the stream says of itself, as it is republished or read.
func headingOf(msg *nats.Msg) (h heading, seq uint64, err error) {
	if seq, err = strconv.ParseUint(msg.Header.Get("Nats-Sequence"), 10, 63); err != nil || seq == 0 {
		return h, 0, errForm
	}
	h, err = parseHeading(msg.Header.Get(appendHeader))
	return h, seq, err
}

// ask are the questions for messages.
type ask struct {
	Seq   uint64 `json:"seq,omitempty"`
	Next  string `json:"next_by_subj,omitempty"`
	Last  string `json:"last_by_subj,omitempty"`
	Batch int    `json:"batch,omitempty"`
	Bytes int    `json:"max_bytes,omitempty"`
}

// led asks the stream's leader, who knows all that was confirmed; nil: there is none.
func (f *feed) led(ctx context.Context, q ask) (*stored, error) {
	question, _ := json.Marshal(q) // never fails
	answer, err := f.conn.RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+f.names.stream, question)
	if err != nil {
		return nil, err
	}
	var r struct {
		Error   *jetstream.APIError `json:"error"`
		Message *struct {
			Seq    uint64 `json:"seq"`
			Header []byte `json:"hdrs"`
			Data   []byte `json:"data"`
		} `json:"message"`
	}
	if err := json.Unmarshal(answer.Data, &r); err != nil || (r.Error == nil && r.Message == nil) {
		return nil, errAnswer
	}
	switch {
	case isCode(apiError(r.Error), codeNoMessage):
		return nil, nil
	case r.Error != nil:
		return nil, r.Error
	}
	header, err := nats.DecodeHeadersMsg(r.Message.Header)
	if err != nil {
		return nil, errForm
	}
	h, err := parseHeading(header.Get(appendHeader))
	return &stored{h, r.Message.Seq, r.Message.Data}, err
}

// apiError is a pointer as an error.
func apiError(e *jetstream.APIError) error {
	if e == nil {
		return nil
	}
	return e
}

// next is a log's first message from a sequence on, of whichever replica answers, which may be behind; nil: it has none.
func (f *feed) next(ctx context.Context, subject string, seq uint64) (*stored, error) {
	question, _ := json.Marshal(ask{Seq: max(seq, 1), Next: subject}) // never fails
	answer, err := f.conn.RequestWithContext(ctx, "$JS.API.DIRECT.GET."+f.names.stream, question)
	if err != nil {
		return nil, err
	}
	switch status := answer.Header.Get("Status"); status {
	case "":
	case "404":
		return nil, nil
	default:
		return nil, fmt.Errorf("%w: %s %s", errAnswer, status, answer.Header.Get("Description"))
	}
	h, at, err := headingOf(answer)
	return &stored{h, at, answer.Data}, err
}

// several are a log's messages from a sequence on: so many at most, and at least one, if there is any.
func (f *feed) several(ctx context.Context, subject string, seq uint64, n, bytes int) (all []stored, err error) {
	came := make(chan *nats.Msg, n+1)
	inbox := f.conn.NewInbox()
	sub, err := f.conn.ChanSubscribe(inbox, came)
	if err != nil {
		return nil, err
	}
	defer func() { _ = sub.Unsubscribe() }()
	question, _ := json.Marshal(ask{Seq: max(seq, 1), Next: subject, Batch: n, Bytes: bytes}) // never fails
	if err := f.conn.PublishRequest("$JS.API.DIRECT.GET."+f.names.stream, inbox, question); err != nil {
		return nil, err
	}
	for {
		select {
		case msg := <-came:
			switch status := msg.Header.Get("Status"); status {
			case "":
			case "204", "404": // the end
				return all, nil
			case "503":
				return nil, nats.ErrNoResponders
			default:
				return nil, fmt.Errorf("%w: %s %s", errAnswer, status, msg.Header.Get("Description"))
			}
			h, at, err := headingOf(msg)
			if err != nil {
				return nil, err
			}
			all = append(all, stored{h, at, msg.Data})
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
