package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
	"golang.org/x/sync/semaphore"

	"github.com/streamweir/weir/cluster"
)

// member is a cluster.Member: a client for commands, and a feed for what comes.
type member struct {
	of     *Broker
	names  names
	id     string
	client rueidis.Client
	queue  *cluster.Queue

	holder cluster.Holder
	room   *semaphore.Weighted // for what is on its way to the engine

	appends atomic.Uint64
	skew    atomic.Int64 // the engine's clock less ours, in ms, as far as is known
	probes  uint64       // of run

	running sync.WaitGroup
	life    context.Context // ends with Close
	end     context.CancelFunc
	more    chan struct{} // has room for one: wishes have changed

	mu      sync.Mutex
	wishes  map[string]bool // by the engine's name
	feed    *feed           // nil: there is none that lives
	state   cluster.State
	changed chan struct{} // closed when any of these has changed
}

func newMember(b *Broker, client rueidis.Client, l cluster.Listener) *member {
	m := &member{
		holder: cluster.HolderOf(l), room: semaphore.NewWeighted(maxOutgoing),
		of: b, names: newNames(b.opts.KeyPrefix), id: newID(), client: client, more: make(chan struct{}, 1),
		wishes: make(map[string]bool), changed: make(chan struct{}),
	}
	m.life, m.end = context.WithCancel(context.Background())
	m.wishes[m.names.probe+m.id] = true
	return m
}

// State implements cluster.Member.
func (m *member) State() cluster.State {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state
}

// Close implements cluster.Member.
func (m *member) Close() {
	m.end()
	m.running.Wait()
	m.queue.Close()
	m.client.Close()
}

// changeLocked wakes who waits for a change.
func (m *member) changeLocked() {
	close(m.changed)
	m.changed = make(chan struct{})
}

// turn changes the state, unless it is that already.
func (m *member) turn(up bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.state.Up == up && !m.state.Since.IsZero() {
		return
	}
	first := m.state.Since.IsZero()
	m.state = cluster.State{Up: up, Since: time.Now(), Err: err}
	if !first {
		m.queue.Changed(m.state)
	}
	m.changeLocked()
}

// ready fails where no call can succeed.
func (m *member) ready(ctx context.Context) error {
	if m.life.Err() != nil {
		return cluster.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", cluster.ErrAway, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.state.Up {
		return away(m.state.Err)
	}
	return nil
}

// away is the ErrAway for a cause.
func away(err error) error { return fmt.Errorf("%w: %w", cluster.ErrAway, err) }

// failed is the error of a command that was sent, or could not be.
func (m *member) failed(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case m.life.Err() != nil:
		return cluster.ErrClosed
	case refused(err):
		return away(err)
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return fmt.Errorf("redis at %s: %w", m.of.target, err)
}

// refused reports whether a command that failed was certainly not executed.
func refused(err error) bool {
	if _, ok := rueidis.IsRedisErr(err); ok {
		return true
	}
	return dialled(err)
}

// call is the context of one command.
func (m *member) call(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	stop := context.AfterFunc(m.life, cancel)
	return ctx, func() { stop(); cancel() }
}

// Publish implements cluster.Member.
func (m *member) Publish(ctx context.Context, channel string, data []byte) error {
	if err := errors.Join(cluster.CheckName(channel), cluster.CheckData(data)); err != nil {
		return err
	}
	if err := m.ready(ctx); err != nil {
		return err
	}
	leave, err := m.enter(ctx, len(data))
	if err != nil {
		return err
	}
	defer leave()
	return m.failed(ctx, m.send(ctx, m.names.channel+channel, string(data)))
}

// What is on its way to the engine at most, in bytes, and what a command counts beside its data.
const (
	maxOutgoing  = 32 << 20
	commandBytes = 512
)

// enter waits for room on the way to the engine, and counts what is held there until leave is called. Of what is larger
// than all of it one is on its way at a time.
//
// Errors: ErrAway, and nothing was done.
func (m *member) enter(ctx context.Context, bytes int) (leave func(), err error) {
	bytes += commandBytes
	within, cancel := m.call(ctx)
	defer cancel()
	n := int64(min(bytes, maxOutgoing))
	if err := m.room.Acquire(within, n); err != nil {
		if m.life.Err() != nil {
			return nil, cluster.ErrClosed
		}
		return nil, away(errCrowded)
	}
	m.holder.Hold(bytes)
	return func() {
		m.holder.Hold(-bytes)
		m.room.Release(n)
	}, nil
}

// errCrowded says that the engine takes too little.
var errCrowded = errors.New("what is on its way to redis already has not been taken in time")

// send is PUBLISH.
func (m *member) send(ctx context.Context, to, data string) error {
	ctx, cancel := m.call(ctx)
	defer cancel()
	return m.client.Do(ctx, m.client.B().Publish().Channel(to).Message(data).Build()).Error()
}

// Read implements cluster.Member.
func (m *member) Read(ctx context.Context, log string, after uint64, most cluster.Limit) (cluster.Page, error) {
	if err := cluster.CheckName(log); err != nil {
		return cluster.Page{}, err
	}
	if err := m.ready(ctx); err != nil {
		return cluster.Page{}, err
	}
	within, cancel := m.call(ctx)
	defer cancel()
	answer, err := readScript.Exec(within, m.client, m.names.keys(log), []string{
		strconv.FormatUint(after, 10), strconv.Itoa(max(most.Entries, 1)), strconv.Itoa(max(most.Bytes, 1)),
	}).ToArray()
	if err != nil {
		return cluster.Page{}, m.failed(ctx, err)
	}
	return m.page(answer)
}

// errAnswer says that a script's answer was not understood.
var errAnswer = errors.New("redis has answered what was not asked")

// page is the answer of read.lua.
func (m *member) page(answer []rueidis.RedisMessage) (p cluster.Page, err error) {
	r := reader{rest: answer}
	m.see(int64(r.number())) //nolint:gosec // milliseconds
	p.Epoch, p.First, p.Last = r.text(), r.number(), r.number()
	for len(r.rest) > 0 && r.err == nil {
		next := r.next()
		fields, err := next.ToArray()
		if err != nil {
			return p, err
		}
		e := reader{rest: fields}
		at := cluster.Position{Epoch: p.Epoch, Offset: e.number(), Previous: e.number()}
		p.Entries = append(p.Entries, cluster.Entry{Position: at, Data: []byte(e.text())})
		r.err = e.err
	}
	return p, r.err
}

// reader reads what a script answers.
type reader struct {
	rest []rueidis.RedisMessage
	err  error
}

func (r *reader) next() rueidis.RedisMessage {
	if len(r.rest) == 0 {
		r.err = errAnswer
		return rueidis.RedisMessage{}
	}
	first := r.rest[0]
	r.rest = r.rest[1:]
	return first
}

func (r *reader) number() uint64 {
	msg := r.next()
	if r.err != nil {
		return 0
	}
	n, err := msg.ToInt64()
	if err != nil || n < 0 {
		r.err = errAnswer
		return 0
	}
	return uint64(n)
}

func (r *reader) text() string {
	msg := r.next()
	if r.err != nil {
		return ""
	}
	s, err := msg.ToString()
	if err != nil {
		r.err = errAnswer
	}
	return s
}

// see takes note of the engine's clock.
func (m *member) see(ms int64) { m.skew.Store(ms - time.Now().UnixMilli()) }

// deadline is a moment of the engine's clock.
func (m *member) deadline(d time.Duration) int64 {
	return time.Now().Add(d).UnixMilli() + m.skew.Load()
}

// heard is one message of the engine.
func (m *member) heard(f *feed, msg rueidis.PubSubMessage) {
	switch name := msg.Channel; {
	case strings.HasPrefix(name, m.names.channel):
		m.queue.Message(strings.Clone(name[len(m.names.channel):]), []byte(msg.Message))
	case strings.HasPrefix(name, m.names.live):
		entries, err := parseLive(msg.Message)
		if err != nil {
			m.queue.Lapsed() // something else writes to this channel: what is in the log is read
			return
		}
		m.queue.Entries(strings.Clone(name[len(m.names.live):]), entries)
	case name == m.names.probe+m.id:
		f.probed(msg.Message)
	}
}

// parseLive reads what append.lua tells followers: epoch, number, and offset, previous, length, data of each.
func parseLive(s string) (entries []cluster.Entry, err error) {
	epoch, rest, _ := strings.Cut(s, " ")
	epoch = strings.Clone(epoch)
	count, rest, _ := strings.Cut(rest, " ")
	n, err := strconv.Atoi(count)
	if err != nil || n < 1 || epoch == "" {
		return nil, errAnswer
	}
	for range n {
		var at [3]uint64
		for i := range at {
			field, after, ok := strings.Cut(rest, " ")
			if at[i], err = strconv.ParseUint(field, 10, 63); err != nil || !ok {
				return nil, errAnswer
			}
			rest = after
		}
		if at[2] > uint64(len(rest)) || at[0] == 0 || at[0] <= at[1] {
			return nil, errAnswer
		}
		size := int(at[2]) //nolint:gosec // it is at most a length
		entries = append(entries, cluster.Entry{Position: cluster.Position{Epoch: epoch, Offset: at[0], Previous: at[1]}, Data: []byte(rest[:size])})
		rest = strings.TrimPrefix(rest[size:], " ")
	}
	if rest != "" {
		return nil, errAnswer
	}
	return entries, nil
}
