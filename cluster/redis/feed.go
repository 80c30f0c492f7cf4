package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"github.com/streamweir/weir/cluster"
)

// feed is one connection with subscriptions.
type feed struct {
	client  rueidis.DedicatedClient
	release func()
	broken  <-chan error
	back    chan string // probes that have come back

	live map[string]bool // what is subscribed to, guarded by member.mu once the feed is the member's
}

// probed takes note of a probe that has come back.
func (f *feed) probed(which string) {
	select {
	case f.back <- which:
	default: // run is behind: it will miss this one and try again
	}
}

// dialled reports whether an error came before there was a connection.
func dialled(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// The errors of a feed.
var (
	errDeaf = errors.New("what it publishes to itself does not come back")
	errLost = errors.New("the connection was lost")
)

// connect makes a feed on which all wishes are live, and has seen a message come back on it.
func (m *member) connect(ctx context.Context) (*feed, error) {
	client, release := m.client.Dedicate()
	f := &feed{client: client, release: release, back: make(chan string, 4), live: make(map[string]bool)}
	f.broken = client.SetPubSubHooks(rueidis.PubSubHooks{OnMessage: func(msg rueidis.PubSubMessage) { m.heard(f, msg) }})
	if err := m.prepare(ctx, f); err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

// prepare subscribes to all wishes and probes.
func (m *member) prepare(ctx context.Context, f *feed) error {
	if err := m.exchange(ctx, f, rueidis.Commands{f.client.B().Ping().Build()}); err != nil { // whose error tells why there is no connection
		return err
	}
	if err := m.reconcile(ctx, f); err != nil {
		return err
	}
	within, cancel := m.call(ctx)
	defer cancel()
	clock, err := m.client.Do(within, m.client.B().Time().Build()).AsIntSlice()
	if err != nil {
		return fmt.Errorf("ask for the time: %w", err)
	}
	if len(clock) == 2 {
		m.see(clock[0]*1000 + clock[1]/1000)
	}
	which, err := m.probe(ctx)
	if err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	for {
		select {
		case got := <-f.back:
			if got == which {
				return nil
			}
		case err := <-f.broken:
			return lost(err)
		case <-within.Done():
			return errDeaf
		}
	}
}

func lost(err error) error {
	if err == nil {
		return errLost
	}
	return err
}

// probe sends the member a message. Only one goroutine at a time does.
func (m *member) probe(ctx context.Context) (which string, err error) {
	m.probes++
	which = strconv.FormatUint(m.probes, 10)
	return which, m.send(ctx, m.names.probe+m.id, which)
}

func (f *feed) close() {
	f.client.Close()
	f.release()
	for range f.broken { // closed when the hooks are not called any more
	}
}

// subscribeMost is how many channels one command names.
const subscribeMost = 256

// reconcile makes live what is wished, and nothing else.
func (m *member) reconcile(ctx context.Context, f *feed) error {
	for {
		more, less := m.difference(f)
		if len(more)+len(less) == 0 {
			return nil
		}
		var commands rueidis.Commands
		for names := range slices.Chunk(less, subscribeMost) {
			commands = append(commands, f.client.B().Unsubscribe().Channel(names...).Build())
		}
		for names := range slices.Chunk(more, subscribeMost) {
			commands = append(commands, f.client.B().Subscribe().Channel(names...).Build())
		}
		commands = append(commands, f.client.B().Ping().Build()) // it is answered when all before it is done
		if err := m.exchange(ctx, f, commands); err != nil {
			return err
		}
		m.mu.Lock()
		for _, n := range more {
			f.live[n] = true
		}
		m.changeLocked()
		m.mu.Unlock()
	}
}

// exchange sends commands on the feed's connection.
func (m *member) exchange(ctx context.Context, f *feed, commands rueidis.Commands) error {
	ctx, cancel := m.call(ctx)
	defer cancel()
	for _, r := range f.client.DoMulti(ctx, commands...) {
		if err := r.Error(); err != nil {
			return fmt.Errorf("prepare its subscriptions: %w", err)
		}
	}
	return nil
}

// difference is what is wished and not live, and the other way round; the latter does not count as live any more.
func (m *member) difference(f *feed) (more, less []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for n := range m.wishes {
		if !f.live[n] {
			more = append(more, n)
		}
	}
	for n := range f.live {
		if !m.wishes[n] {
			less = append(less, n)
			delete(f.live, n)
		}
	}
	return more, less
}

// live makes a feed the member's: it is up.
func (m *member) live(f *feed) {
	m.mu.Lock()
	m.feed = f
	m.changeLocked()
	m.mu.Unlock()
	m.turn(true, nil)
}

// run keeps the member connected until Close.
func (m *member) run() {
	for m.life.Err() == nil {
		err := m.serve()
		m.mu.Lock()
		f := m.feed
		m.feed = nil
		m.changeLocked()
		m.mu.Unlock()
		f.close()
		m.reconnect(err)
	}
}

// serve is the life of a feed; its error says what has ended it.
func (m *member) serve() error {
	f := m.feed // only run changes it
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	waits, sent := "", time.Time{}
	for {
		select {
		case <-m.life.Done():
			return cluster.ErrClosed
		case err := <-f.broken:
			return lost(err)
		case which := <-f.back:
			if which == waits {
				waits = ""
			}
		case <-m.more:
			if err := m.reconcile(m.life, f); err != nil {
				return err
			}
		case now := <-tick.C:
			if waits != "" {
				if now.Sub(sent) > probeTime {
					return errDeaf
				}
				continue
			}
			var err error
			if waits, err = m.probe(m.life); err != nil {
				return err
			}
			sent = now
		}
	}
}

// reconnect makes a new feed, for as long as it takes; it returns without one when the member is closed.
func (m *member) reconnect(err error) {
	for m.life.Err() == nil {
		f, again := m.connect(m.life)
		if again == nil {
			m.queue.Lapsed()
			m.live(f)
			return
		}
		m.turn(false, fmt.Errorf("redis at %s: %w", m.of.target, errors.Join(again, err)))
		err = nil
		select {
		case <-m.life.Done():
		case <-time.After(retryEvery):
		}
	}
}

// Subscribe implements cluster.Member.
func (m *member) Subscribe(ctx context.Context, channels ...string) error {
	return m.wish(ctx, m.names.channel, channels)
}

// Follow implements cluster.Member.
func (m *member) Follow(ctx context.Context, logs ...string) error {
	return m.wish(ctx, m.names.live, logs)
}

// wish wishes for what is behind a prefix, and waits until all of it is live.
func (m *member) wish(ctx context.Context, prefix string, list []string) error {
	if err := cluster.CheckNames(list...); err != nil {
		return err
	}
	if m.life.Err() != nil {
		return cluster.ErrClosed
	}
	m.mu.Lock()
	for _, n := range list {
		m.wishes[prefix+n] = true
	}
	m.mu.Unlock()
	m.signal()
	for {
		m.mu.Lock()
		changed, state, all := m.changed, m.state, m.feed != nil
		for _, n := range list {
			all = all && m.feed.live[prefix+n]
		}
		m.mu.Unlock()
		switch {
		case all:
			return nil
		case !state.Up:
			return away(state.Err)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-m.life.Done():
			return cluster.ErrClosed
		}
	}
}

// Unsubscribe implements cluster.Member.
func (m *member) Unsubscribe(channels ...string) { m.unwish(m.names.channel, channels) }

// Unfollow implements cluster.Member.
func (m *member) Unfollow(logs ...string) { m.unwish(m.names.live, logs) }

func (m *member) unwish(prefix string, list []string) {
	m.mu.Lock()
	for _, n := range list {
		delete(m.wishes, prefix+n)
	}
	m.mu.Unlock()
	m.signal()
}

func (m *member) signal() {
	select {
	case m.more <- struct{}{}:
	default:
	}
}
