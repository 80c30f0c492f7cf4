package nats

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/streamweir/weir/cluster"
	"github.com/streamweir/weir/internal/anchor"
)

// member is a cluster.Member: an anchor, and what is known of the logs.
type member struct {
	*anchor.Anchor
	of    *Broker
	node  string
	names names
	id    string

	sent    atomic.Uint64 // counts appends, and messages in pieces
	trims   chan string   // logs that have more than they are to keep
	running sync.WaitGroup

	mu      sync.Mutex
	shelves map[string]*shelf
	servers []string // others of the cluster, as the last one has told
}

// Close implements cluster.Member.
func (m *member) Close() {
	m.Anchor.Close()
	m.running.Wait()
}

// newID is an id of an append or a message in pieces.
func (m *member) newID() string { return m.id + "-" + strconv.FormatUint(m.sent.Add(1), 36) }

// connected is the feed that lives.
//
// Errors: ErrAway.
func (m *member) connected() (*feed, error) {
	if f, ok := m.Feed().(*feed); ok {
		return f, nil
	}
	return nil, anchor.Away(errLost)
}

var errLost = errors.New("the connection was lost")

// refusal is an error of who has not done what was asked.
type refusal struct{ error }

func (r refusal) Unwrap() error { return r.error }

// refused reports whether what has failed was certainly not done.
func refused(err error) bool {
	var api *jetstream.APIError
	var r refusal
	return errors.As(err, &api) || errors.As(err, &r) || errors.Is(err, nats.ErrNoResponders) || errors.Is(err, cluster.ErrAway)
}

// failed is the error of a member's call.
func (m *member) failed(ctx context.Context, err error) error {
	if errors.Is(err, cluster.ErrAway) && m.Life().Err() == nil {
		return err
	}
	return m.Failed(ctx, err, refused(err))
}

// Publish implements cluster.Member.
func (m *member) Publish(ctx context.Context, channel string, data []byte) error {
	if err := errors.Join(cluster.CheckName(channel), cluster.CheckData(data)); err != nil {
		return err
	}
	if err := m.Ready(ctx); err != nil {
		return err
	}
	leave, err := m.Enter(ctx, len(data))
	if err != nil {
		return err
	}
	defer leave()
	f, err := m.connected()
	if err != nil {
		return err
	}
	within, cancel := f.call(ctx)
	defer cancel()
	return m.failed(ctx, f.publish(within, m.names.channel+token(channel), data))
}

// publish sends data, in pieces if it has to be, and waits until the server has it.
func (f *feed) publish(ctx context.Context, subject string, data []byte) error {
	parts := cut(data, f.conn.MaxPayload())
	id := ""
	if len(parts) > 1 {
		id = f.newID()
	}
	f.sending.Lock() // so that messages and their pieces come in the order of the calls
	for i, part := range parts {
		msg := &nats.Msg{Subject: subject, Data: part}
		if id != "" {
			msg.Header = headed(pieceHeader, piece{id, i, len(parts), len(data)}.String())
		}
		if err := f.conn.PublishMsg(msg); err != nil {
			f.sending.Unlock()
			if i == 0 && errors.Is(err, nats.ErrConnectionClosed) {
				return refusal{err}
			}
			return err
		}
	}
	f.sending.Unlock()
	return f.conn.FlushWithContext(ctx)
}

// Subscribe implements cluster.Member.
func (m *member) Subscribe(ctx context.Context, channels ...string) error {
	return m.wish(ctx, m.names.channel, channels)
}

// Follow implements cluster.Member.
func (m *member) Follow(ctx context.Context, logs ...string) error {
	return m.wish(ctx, m.names.live, logs)
}

func (m *member) wish(ctx context.Context, prefix string, list []string) error {
	if err := cluster.CheckNames(list...); err != nil {
		return err
	}
	return m.Wish(ctx, tokens(prefix, list)...)
}

// Unsubscribe implements cluster.Member.
func (m *member) Unsubscribe(channels ...string) { m.Unwish(tokens(m.names.channel, channels)...) }

// Unfollow implements cluster.Member.
func (m *member) Unfollow(logs ...string) { m.Unwish(tokens(m.names.live, logs)...) }
