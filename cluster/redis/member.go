package redis

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"github.com/streamweir/weir/cluster"
	"github.com/streamweir/weir/internal/anchor"
)

// member is a cluster.Member: a client for commands, and an anchor for what comes.
type member struct {
	*anchor.Anchor
	of     *Broker
	names  names
	id     string
	client rueidis.Client
	out    outgoing

	appends atomic.Uint64
	skew    atomic.Int64 // the engine's clock less ours, in ms, as far as is known
}

// Close implements cluster.Member.
func (m *member) Close() {
	m.Anchor.Close()
	m.out.close()
	m.client.Close()
}

// failed is the error of a command that was sent, or could not be.
func (m *member) failed(ctx context.Context, err error) error {
	return m.Failed(ctx, err, refused(err))
}

// refused reports whether a command that failed was certainly not executed.
func refused(err error) bool {
	if _, ok := rueidis.IsRedisErr(err); ok {
		return true
	}
	return dialled(err)
}

// Publish implements cluster.Member.
func (m *member) Publish(ctx context.Context, channel string, data []byte) error {
	if err := errors.Join(cluster.CheckName(channel), cluster.CheckData(data)); err != nil {
		return err
	}
	if err := m.Ready(ctx); err != nil {
		return err
	}
	held, err := m.Board(ctx, len(data))
	if err != nil {
		return err
	}
	return m.out.publish(ctx, channel, data, held)
}

// wish wishes for what is behind a prefix.
func (m *member) wish(ctx context.Context, prefix string, list []string) error {
	if err := cluster.CheckNames(list...); err != nil {
		return err
	}
	return m.Wish(ctx, behind(prefix, list)...)
}

// behind is a list with a prefix before each.
func behind(prefix string, list []string) []string {
	all := make([]string, 0, len(list))
	for _, n := range list {
		all = append(all, prefix+n)
	}
	return all
}

// Subscribe implements cluster.Member.
func (m *member) Subscribe(ctx context.Context, channels ...string) error {
	return m.wish(ctx, m.names.channel, channels)
}

// Follow implements cluster.Member.
func (m *member) Follow(ctx context.Context, logs ...string) error {
	return m.wish(ctx, m.names.live, logs)
}

// Unsubscribe implements cluster.Member.
func (m *member) Unsubscribe(channels ...string) { m.Unwish(behind(m.names.channel, channels)...) }

// Unfollow implements cluster.Member.
func (m *member) Unfollow(logs ...string) { m.Unwish(behind(m.names.live, logs)...) }

// send is PUBLISH.
func (m *member) send(ctx context.Context, to, data string) error {
	ctx, cancel := m.Call(ctx)
	defer cancel()
	return m.client.Do(ctx, m.client.B().Publish().Channel(to).Message(data).Build()).Error()
}

// Read implements cluster.Member.
func (m *member) Read(ctx context.Context, log string, after uint64, most cluster.Limit) (cluster.Page, error) {
	if err := cluster.CheckName(log); err != nil {
		return cluster.Page{}, err
	}
	if err := m.Ready(ctx); err != nil {
		return cluster.Page{}, err
	}
	within, cancel := m.Call(ctx)
	defer cancel()
	answer, err := readScript.Exec(within, m.client, m.names.keys(log), []string{
		strconv.FormatUint(after, 10), strconv.Itoa(max(most.Entries, 1)), strconv.Itoa(max(most.Bytes, 1)),
	}).ToArray()
	if err != nil {
		return cluster.Page{}, m.failed(ctx, err)
	}
	return m.page(answer)
}

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
func (m *member) heard(msg rueidis.PubSubMessage) {
	switch name := msg.Channel; {
	case strings.HasPrefix(name, m.names.channel):
		var list [][]byte
		if splitBody(msg.Message, func(_ int, part []byte) { list = append(list, part) }) != nil {
			m.Queue().Lapsed() // something else writes to this channel
			return
		}
		m.Queue().Messages(strings.Clone(name[len(m.names.channel):]), list)
	case strings.HasPrefix(name, m.names.live):
		entries, err := parseLive(msg.Message)
		if err != nil {
			m.Queue().Lapsed() // as above: what is in the log is read
			return
		}
		m.Queue().Entries(strings.Clone(name[len(m.names.live):]), entries)
	case name == m.names.probe+m.id:
		m.Back(strings.Clone(msg.Message))
	}
}

// parseLive reads what append.lua tells followers: epoch, offset of the first, the offset before it, and a body.
func parseLive(s string) (entries []cluster.Entry, err error) {
	epoch, s, _ := strings.Cut(s, " ")
	first, s, _ := strings.Cut(s, " ")
	previous, body, ok := strings.Cut(s, " ")
	if epoch == "" || !ok {
		return nil, errAnswer
	}
	at := cluster.Position{Epoch: strings.Clone(epoch)}
	if at.Offset, err = strconv.ParseUint(first, 10, 53); err != nil {
		return nil, errAnswer
	}
	if at.Previous, err = strconv.ParseUint(previous, 10, 53); err != nil || at.Previous >= at.Offset {
		return nil, errAnswer
	}
	err = splitBody(body, func(_ int, part []byte) {
		entries = append(entries, cluster.Entry{Position: at, Data: part})
		at.Previous = at.Offset
		at.Offset++
	})
	return entries, err
}
