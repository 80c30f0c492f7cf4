package nats

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/streamweir/weir/cluster"
	"github.com/streamweir/weir/internal/anchor"
)

// appending is one Append. Its attempts bear one id.
type appending struct {
	*member
	log     string
	subject string
	o       cluster.AppendOptions
	count   int
	body    []byte
	id      string
	epoch   string // if one has to begin

	tried bool    // an attempt with what follows may have been placed
	head  heading // of the last attempt
}

// The ends of an attempt.
var (
	// errMoved says that the log's last message is another, so that this attempt has not been placed.
	errMoved = errors.New("somebody else has appended meanwhile")

	// errGone says that the log has lost what would say whether an earlier attempt was placed.
	errGone = errors.New("the log does not reach back to the first attempt")
)

// maxPieces is how many messages an atomic batch has at most.
const maxPieces = 1000

// Append implements cluster.Member.
func (m *member) Append(ctx context.Context, log string, o cluster.AppendOptions, data ...[]byte) ([]cluster.Position, error) {
	if err := cluster.CheckAppend(log, o, data...); err != nil {
		return nil, err
	}
	if o.Above+uint64(len(data)) >= cluster.MaxOffset {
		return nil, fmt.Errorf("%w: %d entries above %d, want offsets below 2^53", cluster.ErrInvalid, len(data), o.Above)
	}
	if err := m.Ready(ctx); err != nil {
		return nil, err
	}
	size := 0
	for _, d := range data {
		size += len(d)
	}
	leave, err := m.Enter(ctx, size)
	if err != nil {
		return nil, err
	}
	defer leave()
	free, err := m.take(ctx, log)
	if err != nil {
		return nil, err
	}
	defer free()
	a := &appending{
		member: m, log: log, subject: m.names.log + token(log), o: o, count: len(data), body: pack(data), id: m.newID(), epoch: newID(),
	}
	return a.run(ctx)
}

// run attempts until the append is placed, or cannot be.
func (a *appending) run(ctx context.Context) ([]cluster.Position, error) {
	for again := 0; ; again++ {
		at, err := a.attempt(ctx)
		pause := anchor.RetryEvery
		switch {
		case err == nil:
			return at, nil
		case errors.Is(err, errGone):
			return nil, fmt.Errorf("%w: %w", cluster.ErrUndecided, err)
		case errors.Is(err, errMoved):
			pause = rand.N(time.Duration(min(again, 10)+1) * time.Millisecond) // so that of many who append each has its time
		case !a.tried: // none has a place, whatever it was
			return nil, a.unplaced(err)
		}
		if err := a.Again(ctx, pause, a.tried); err != nil {
			return nil, err
		}
	}
}

// unplaced is the error of an append of which nothing was done.
func (a *appending) unplaced(err error) error {
	switch {
	case a.Life().Err() != nil:
		return cluster.ErrClosed
	case errors.Is(err, cluster.ErrInvalid), errors.Is(err, cluster.ErrAway):
		return err
	}
	return anchor.Away(err)
}

// attempt places the append, unless an earlier attempt has done so.
func (a *appending) attempt(ctx context.Context) ([]cluster.Position, error) {
	f, err := a.connected()
	if err != nil {
		return nil, err
	}
	ctx, cancel := f.call(ctx)
	defer cancel()
	at := a.known(a.log)
	if at == nil || a.tried {
		last, err := f.led(ctx, ask{Last: a.subject})
		if err != nil {
			return nil, err
		}
		at = endOf(last)
		a.learn(a.log, at)
	}
	if a.tried && at.seq != a.head.behind {
		if placed, err := a.search(ctx, f); err != nil || placed != nil {
			return placed, err
		}
	}
	if !a.tried {
		a.head = a.heading(at)
	}
	return a.place(ctx, f)
}

// heading is what the append says when it is to be placed behind a log's end.
func (a *appending) heading(at *end) heading {
	h := heading{
		piece: piece{id: a.id, size: len(a.body)},
		epoch: at.epoch, offset: max(cluster.OffsetAt(time.Now()), at.last+1, a.o.Above+1), count: a.count,
		previous: at.last, before: at.total, behind: at.seq, keep: a.o.Keep,
	}
	if at.seq == 0 {
		h.epoch = a.epoch
	}
	return h
}

// search looks for an earlier attempt, which is right behind where it was to be placed, or nowhere: then it cannot be
// placed any more.
func (a *appending) search(ctx context.Context, f *feed) ([]cluster.Position, error) {
	found, err := f.led(ctx, ask{Seq: a.head.behind + 1, Next: a.subject})
	switch {
	case err != nil:
		return nil, err
	case found != nil && found.id == a.id:
		return found.positions(), nil
	case found != nil && found.behind != a.head.behind:
		return nil, errGone
	}
	a.tried = false // a log that has lost all has nobody's
	return nil, nil
}

// place has the stream take the append, if the log's last message is the one that the heading names.
func (a *appending) place(ctx context.Context, f *feed) ([]cluster.Position, error) {
	parts := cut(a.body, f.conn.MaxPayload())
	if len(parts) > maxPieces {
		return nil, fmt.Errorf("%w: %d bytes are more than %d messages of the server take", cluster.ErrInvalid, len(a.body), maxPieces)
	}
	a.head.of = len(parts)
	seq, err := a.send(ctx, f, parts)
	switch {
	case err == nil:
	case isCode(err, codeWrongLast, codeWrongLastUnsaid):
		a.learn(a.log, nil)
		return nil, errMoved
	case refused(err):
		return nil, err
	default:
		a.tried = true
		a.learn(a.log, nil)
		return nil, err
	}
	a.placed(a.log, &a.head, seq)
	return a.head.positions(), nil
}

// send sends the messages of the append: one, or an atomic batch, whose last one commits and is answered.
func (a *appending) send(ctx context.Context, f *feed, parts [][]byte) (seq uint64, err error) {
	batch := a.newID() // each attempt has its own
	for i, part := range parts {
		h := a.head
		h.index = i
		msg := &nats.Msg{Subject: a.subject, Data: part, Header: headed(appendHeader, h.String())}
		if i == 0 {
			msg.Header[expect] = []string{strconv.FormatUint(h.behind, 10)}
		}
		if len(parts) > 1 {
			msg.Header["Nats-Batch-Id"] = []string{batch}
			msg.Header["Nats-Batch-Sequence"] = []string{strconv.Itoa(i + 1)}
		}
		if i == len(parts)-1 {
			if i > 0 {
				msg.Header["Nats-Batch-Commit"] = []string{"1"}
			}
			return f.store(ctx, msg)
		}
		if err := f.conn.PublishMsg(msg); err != nil {
			return 0, err
		}
	}
	return 0, errAnswer // there is at least one part
}
