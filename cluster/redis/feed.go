package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/redis/rueidis"

	"github.com/streamweir/weir/internal/anchor"
)

// feed is one connection with subscriptions.
type feed struct {
	*member
	client  rueidis.DedicatedClient
	release func()
	broken  <-chan error
}

var _ anchor.Feed = (*feed)(nil)

// dialled reports whether an error came before there was a connection.
func dialled(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// connect makes a feed without subscriptions, and asks for the time.
func (m *member) connect(ctx context.Context) (anchor.Feed, error) {
	client, release := m.client.Dedicate()
	f := &feed{member: m, client: client, release: release}
	f.broken = client.SetPubSubHooks(rueidis.PubSubHooks{OnMessage: m.heard})
	if err := f.greet(ctx); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// greet finds out whether there is a connection, by a command whose error tells why there is none, and takes note of the clock.
func (f *feed) greet(ctx context.Context) error {
	within, cancel := f.Call(ctx)
	defer cancel()
	if err := f.exchange(within, rueidis.Commands{f.client.B().Ping().Build()}); err != nil {
		return err
	}
	if err := f.rules(within); err != nil {
		return err
	}
	clock, err := f.member.client.Do(within, f.member.client.B().Time().Build()).AsIntSlice()
	if err != nil {
		return fmt.Errorf("ask for the time: %w", err)
	}
	if len(clock) == 2 {
		f.see(clock[0]*1000 + clock[1]/1000)
	}
	return nil
}

// Probe implements anchor.Feed.
func (f *feed) Probe(ctx context.Context, which string) error {
	if err := f.rules(ctx); err != nil {
		return err
	}
	return f.send(ctx, f.names.probe+f.id, which)
}

// Broken implements anchor.Feed.
func (f *feed) Broken() <-chan error { return f.broken }

// Close implements anchor.Feed.
func (f *feed) Close() {
	f.client.Close()
	f.release()
	for range f.broken { // closed when the hooks are not called any more
	}
}

// subscribeMost is how many channels one command names.
const subscribeMost = 256

// Alter implements anchor.Feed.
func (f *feed) Alter(ctx context.Context, more, less []string) error {
	var commands rueidis.Commands
	for names := range slices.Chunk(less, subscribeMost) {
		commands = append(commands, f.client.B().Unsubscribe().Channel(names...).Build())
	}
	for names := range slices.Chunk(more, subscribeMost) {
		commands = append(commands, f.client.B().Subscribe().Channel(names...).Build())
	}
	commands = append(commands, f.client.B().Ping().Build()) // it is answered when all before it is done
	return f.exchange(ctx, commands)
}

// exchange sends commands on the feed's connection.
func (f *feed) exchange(ctx context.Context, commands rueidis.Commands) error {
	for _, r := range f.client.DoMulti(ctx, commands...) {
		if err := r.Error(); err != nil {
			return err
		}
	}
	return nil
}
