package nats

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/streamweir/weir/cluster"
)

// Found is what Look has found.
type Found struct {
	Version    string // of the server that has answered
	Cluster    string // the name of the servers' cluster; "": it is alone
	MaxPayload int64  // bytes of one message; what is larger goes in pieces
	Stream     bool   // the stream of the logs is there; else the first node makes it
	Replicas   int    // of the stream, or which it will have
}

// Look connects as a node does and tries what a node needs: a server that is recent enough, JetStream, and that this user may
// publish, subscribe, append, read and trim. It changes nothing: where the stream is not there yet it has not tried to make it,
// nor what is done in it. ctx bounds it.
func (b *Broker) Look(ctx context.Context) (Found, error) {
	m := b.member("look", deaf{})
	defer m.Close()
	f, err := m.dial(ctx)
	if err != nil {
		return Found{}, err
	}
	defer f.Close()
	found := Found{Version: f.conn.ConnectedServerVersion(), Cluster: f.conn.ConnectedClusterName(), MaxPayload: f.conn.MaxPayload(), Replicas: f.replicas()}
	within, cancel := f.call(ctx)
	defer cancel()
	if err := f.lookAt(within, &found); err != nil {
		return found, f.cause(err)
	}
	return found, nil
}

// lookAt tries what there is.
func (f *feed) lookAt(ctx context.Context, found *Found) error {
	js, err := jetstream.New(f.conn)
	if err != nil {
		return err
	}
	switch s, err := js.Stream(ctx, f.names.stream); {
	case errors.Is(err, jetstream.ErrStreamNotFound):
	case err != nil:
		return fmt.Errorf("look for the stream %q of JetStream: %w", f.names.stream, err)
	default:
		found.Stream, found.Replicas = true, s.CachedInfo().Config.Replicas
	}
	own := f.names.probe + f.id
	for _, subject := range []string{f.names.channel + fence, f.names.live + fence, f.names.elected, own} {
		if _, err := f.conn.ChanSubscribe(subject, f.came); err != nil {
			return fmt.Errorf("subscribe to %s: %w", subject, err)
		}
	}
	for _, subject := range []string{f.names.channel + fence, own} {
		if err := f.conn.Publish(subject, nil); err != nil {
			return fmt.Errorf("publish to %s: %w", subject, err)
		}
	}
	if found.Stream {
		if err := f.lookInto(ctx); err != nil {
			return err
		}
	}
	if err := f.conn.FlushWithContext(ctx); err != nil {
		return err
	}
	return f.conn.LastError() // the server has told by now what is not permitted
}

// lookInto tries what is done in the stream, with a log that has no entries.
func (f *feed) lookInto(ctx context.Context) error {
	if err := f.fence(ctx); err != nil {
		return err
	}
	subject := f.names.log + fence
	if _, err := f.led(ctx, ask{Last: subject}); err != nil {
		return fmt.Errorf("read from the stream's leader: %w", err)
	}
	if _, err := f.next(ctx, subject, 1); err != nil {
		return fmt.Errorf("read from the stream: %w", err)
	}
	if err := f.purge(ctx, subject, 1); err != nil {
		return fmt.Errorf("trim the stream: %w", err)
	}
	return nil
}

// deaf hears nothing.
type deaf struct{}

func (deaf) Message(string, []byte)          {}
func (deaf) Entries(string, []cluster.Entry) {}
func (deaf) Lapsed()                         {}
func (deaf) Changed(cluster.State)           {}
