package nats

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/streamweir/weir/cluster"
	"github.com/streamweir/weir/internal/anchor"
)

// reading reads one log up to where its leader has said that it ends. What replicas answer may be behind that: then they are
// asked again.
type reading struct {
	*feed
	log     string
	subject string
	last    *stored // the last message
}

// most messages are asked for at once.
const mostMessages = 256

// Read implements cluster.Member.
func (m *member) Read(ctx context.Context, log string, after uint64, most cluster.Limit) (cluster.Page, error) {
	if err := cluster.CheckName(log); err != nil {
		return cluster.Page{}, err
	}
	if err := m.Ready(ctx); err != nil {
		return cluster.Page{}, err
	}
	f, err := m.connected()
	if err != nil {
		return cluster.Page{}, err
	}
	within, cancel := f.call(ctx)
	defer cancel()
	r := &reading{feed: f, log: log, subject: m.names.log + token(log)}
	p, err := r.page(within, after, most)
	for errors.Is(err, errSkipped) && within.Err() == nil { // what was to be read has given way meanwhile
		p, err = r.page(within, after, most)
	}
	switch {
	case err == nil:
		return p, nil
	case m.Life().Err() != nil:
		err = cluster.ErrClosed
	case ctx.Err() != nil:
		err = ctx.Err()
	case !errors.Is(err, cluster.ErrAway):
		err = anchor.Away(err)
	}
	return cluster.Page{}, err
}

// page is what Read returns.
func (r *reading) page(ctx context.Context, after uint64, most cluster.Limit) (p cluster.Page, err error) {
	if r.last, err = r.led(ctx, ask{Last: r.subject}); err != nil || r.last == nil {
		return cluster.Page{First: 1}, err
	}
	r.learn(r.log, endOf(r.last))
	p = cluster.Page{Epoch: r.last.epoch, Last: r.last.last()}
	oldest, err := r.oldest(ctx)
	if err != nil {
		return p, err
	}
	if p.First = p.Last + 1; oldest != nil {
		p.First = oldest.offset + max(r.last.oldest(), oldest.before) - oldest.before
	}
	if oldest == nil || after >= p.Last {
		return p, nil
	}
	from := max(after, p.First-1)
	if p.Entries, err = r.entries(ctx, r.hint(after, from, oldest), from, most); errors.Is(err, errSkipped) {
		at, err := r.find(ctx, oldest.seq, func(h *heading) bool { return h.last() > from })
		if err != nil {
			return p, err
		}
		p.Entries, err = r.entries(ctx, at.seq, from, most)
		return p, err
	}
	return p, err
}

// oldest is the oldest append of which entries are kept, whole; nil: there is none.
func (r *reading) oldest(ctx context.Context) (*stored, error) {
	gone := r.last.oldest()
	is := func(h *heading) bool { return h.total() > gone }
	m, err := r.next(ctx, r.subject, 1)
	if err == nil && m != nil && !is(&m.heading) {
		m, err = r.find(ctx, m.seq+1, is)
	}
	for err == nil && m != nil && m.index > 0 { // its first pieces were removed
		m, err = r.next(ctx, r.subject, m.seq+1)
	}
	return m, err
}

// find is the first message from a sequence on of which something is true, as it is of all behind it and of the last. It looks
// in the middle, again and again.
func (r *reading) find(ctx context.Context, from uint64, is func(*heading) bool) (*stored, error) {
	found := r.last
	for to := r.last.seq; from < to; {
		middle := from + (to-from)/2
		m, err := r.next(ctx, r.subject, middle)
		switch {
		case err != nil:
			return nil, err
		case m == nil:
			if err := r.linger(ctx); err != nil {
				return nil, err
			}
		case is(&m.heading):
			to, found = middle, m
		default:
			from = m.seq + 1
		}
	}
	return found, nil
}

// linger waits for a replica.
func (r *reading) linger(ctx context.Context) error {
	select {
	case <-time.After(lingers):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// hint is a sequence from which to read what is behind an offset: if it is wrong that is noticed.
func (r *reading) hint(after, from uint64, oldest *stored) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.shelves[r.log]; s != nil && s.read.offset == after && after >= from {
		return s.read.seq
	}
	return oldest.seq
}

// errSkipped says that what was read does not begin where it was to.
var errSkipped = errors.New("entries are missing in what was read")

// entries are those behind an offset, read from a sequence on, at least one.
func (r *reading) entries(ctx context.Context, seq, after uint64, most cluster.Limit) ([]cluster.Entry, error) {
	c := collector{after: after, until: r.last.last(), most: most, pieces: newGatherer(cluster.HolderOf(nil))}
	for {
		n := min(max(most.Entries, 1), mostMessages)
		all, err := r.several(ctx, r.subject, seq, n, max(most.Bytes, 1))
		if err != nil {
			return nil, err
		}
		for i := range all {
			if over, err := c.add(&all[i]); err != nil {
				return nil, err
			} else if over {
				r.keepHint(&c)
				return c.entries, nil
			}
			seq = all[i].seq + 1
		}
		if len(all) == 0 { // the replica is behind
			if err := r.linger(ctx); err != nil {
				return nil, err
			}
		}
	}
}

// keepHint remembers where the last entry was found.
func (r *reading) keepHint(c *collector) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.shelfLocked(r.log).read = place{c.entries[len(c.entries)-1].Offset, c.from}
}

// collector collects entries of consecutive messages.
type collector struct {
	after, until uint64
	most         cluster.Limit
	pieces       *gatherer

	entries []cluster.Entry
	bytes   int
	start   uint64 // sequence of the append under way
	from    uint64 // of the append that the last entry is of
}

// add adds what a message has, and reports whether that is all.
func (c *collector) add(m *stored) (over bool, err error) {
	if m.index == 0 {
		c.start = m.seq
	}
	if m.last() <= c.after {
		return false, nil
	}
	if len(c.entries) == 0 && m.previous > c.after && m.offset > c.after+1 {
		// What is between has given way meanwhile, or the message was not the first behind.
		return false, errSkipped
	}
	if n := len(c.entries); n > 0 && m.previous != c.entries[n-1].Offset && m.offset > c.entries[n-1].Offset {
		return true, nil // what is between has given way meanwhile
	}
	body, done, lost := c.pieces.add("", m.piece, m.data, time.Time{})
	if lost {
		return false, errForm
	}
	if !done {
		return false, nil
	}
	entries, err := m.unpack(body)
	if err != nil {
		return false, err
	}
	for _, e := range entries {
		if e.Offset <= c.after {
			continue
		}
		if c.bytes += len(e.Data); len(c.entries) > 0 && (len(c.entries) >= c.most.Entries || c.bytes > c.most.Bytes) {
			return true, nil
		}
		c.entries, c.from = append(c.entries, e), c.start
		if e.Offset >= c.until {
			return true, nil
		}
	}
	return false, nil
}

// trim removes what a log is not to keep.
func (m *member) trim(ctx context.Context, log string) error {
	f, err := m.connected()
	if err != nil {
		return err
	}
	ctx, cancel := f.call(ctx)
	defer cancel()
	r := &reading{feed: f, log: log, subject: m.names.log + token(log)}
	if r.last, err = r.led(ctx, ask{Last: r.subject}); err != nil || r.last == nil {
		return err
	}
	oldest, err := r.oldest(ctx)
	if err != nil || oldest == nil {
		return err
	}
	return f.purge(ctx, r.subject, oldest.seq)
}

// purge removes a log's messages below a sequence.
func (f *feed) purge(ctx context.Context, subject string, below uint64) error {
	question, _ := json.Marshal(struct { // never fails
		Filter string `json:"filter"`
		Before uint64 `json:"seq"`
	}{subject, below})
	answer, err := f.conn.RequestWithContext(ctx, "$JS.API.STREAM.PURGE."+f.names.stream, question)
	if err != nil {
		return err
	}
	var a struct {
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(answer.Data, &a); err != nil {
		return errAnswer
	}
	return apiError(a.Error)
}
