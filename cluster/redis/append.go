package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/streamweir/weir/cluster"
	"github.com/streamweir/weir/internal/anchor"
)

// appending is one Append: an id that all its attempts bear.
type appending struct {
	*member
	log   string
	o     cluster.AppendOptions
	count int
	body  string
	id    string
	epoch string

	since    uint64 // no attempt has given an offset up to this one
	tried    bool   // an attempt may have been executed
	deadline int64  // of the last of those, on the engine's clock
}

// clockSlack is more than the engine's clock can be behind what is known of it.
const clockSlack = 30 * time.Second

// The errors of an attempt.
var (
	// errLate says that the engine got the attempt after its deadline, and has done nothing.
	errLate = errors.New("redis got it too late")

	// errGone says that the log has lost what would say whether an earlier attempt was executed.
	errGone = errors.New("the log does not reach back to the first attempt")
)

// Append implements cluster.Member.
func (m *member) Append(ctx context.Context, log string, o cluster.AppendOptions, data ...[]byte) ([]cluster.Position, error) {
	if err := cluster.CheckAppend(log, o, data...); err != nil {
		return nil, err
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
	a := &appending{
		member: m, log: log, o: o, count: len(data), body: bodyOf(data), epoch: newID(),
		id:    m.id + "-" + strconv.FormatUint(m.appends.Add(1), 36),
		since: max(o.Above, cluster.OffsetAt(time.UnixMilli(m.deadline(-clockSlack)))),
	}
	for {
		at, err := a.attempt(ctx)
		switch {
		case err == nil:
			return at, nil
		case errors.Is(err, cluster.ErrUndecided):
			return nil, err
		case !a.tried && !errors.Is(err, errLate):
			return nil, m.failed(ctx, err)
		}
		if err := a.Again(ctx, anchor.RetryEvery, a.tried); err != nil {
			return nil, err
		}
	}
}

// attempt has the script append, unless an earlier attempt has done so. Without an answer nobody knows whether it was
// executed; so it has a deadline, and no other attempt appends before that is over.
func (a *appending) attempt(ctx context.Context) ([]cluster.Position, error) {
	deadline, search := a.member.deadline(appendTime), ""
	if a.tried {
		search = strconv.FormatUint(a.since, 10)
	}
	args := []string{
		strconv.FormatInt(deadline, 10), a.epoch, a.id, strconv.FormatUint(a.o.Above, 10), strconv.Itoa(a.o.Keep),
		strconv.FormatInt(int64(a.of.opts.LogTTL/time.Second), 10), search, a.names.live + a.log,
		strconv.Itoa(a.count), a.body,
	}
	if a.tried && deadline-appendTime.Milliseconds() <= a.deadline {
		args[0] = "0" // look for it only: the last attempt may still arrive
	}
	within, cancel := a.Call(ctx)
	defer cancel()
	answer, err := appendScript.Exec(within, a.client, a.names.keys(a.log), args).ToArray()
	if err != nil {
		if !refused(err) && args[0] != "0" {
			a.tried, a.deadline = true, deadline
		}
		return nil, err
	}
	r := reader{rest: answer}
	verdict, now := r.text(), r.number()
	if r.err != nil {
		return nil, r.err
	}
	a.see(int64(now)) //nolint:gosec // milliseconds
	switch verdict {
	case "ok":
		return a.positions(&r)
	case "gone":
		return nil, fmt.Errorf("%w: %w", cluster.ErrUndecided, errGone)
	case "unsettled":
		return nil, fmt.Errorf("%w: %s has stored it, and then: %s", cluster.ErrUndecided, a.of.engine(), r.text())
	}
	return nil, errLate
}

// positions are those that the script has given.
func (a *appending) positions(r *reader) (at []cluster.Position, err error) {
	p := cluster.Position{Epoch: r.text(), Previous: r.number(), Offset: r.number()}
	for range a.count {
		at = append(at, p)
		p.Previous = p.Offset
		p.Offset++
	}
	return at, r.err
}
