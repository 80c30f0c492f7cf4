package weir

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/streamweir/weir/cluster"
)

// How long a node waits for its broker, and how often the log says that it does.
const (
	defaultJoinTimeout = 10 * time.Second
	sayWaiting         = 10 * time.Second
)

// lacking is what a node that has not joined its cluster yet waits for.
type lacking struct {
	mu   sync.Mutex
	why  error // nil: for nothing
	said time.Time
	text string // that was said
}

// wait takes note of why, and reports whether the log is to say it: at first, and what has changed then, now and then.
func (l *lacking) wait(why error, now time.Time) (say bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.why = why
	if text := why.Error(); text != l.text && (l.text == "" || now.Sub(l.said) >= sayWaiting) {
		l.text, l.said = text, now
		return true
	}
	return false
}

// err is what is waited for; nil: nothing.
func (l *lacking) err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.why
}

var _ cluster.Waiter = (*fleet)(nil)

// Waiting implements cluster.Waiter.
func (f *fleet) Waiting(why error) {
	if f.lacks.wait(why, time.Now()) {
		f.of.log.LogAttrs(context.Background(), slog.LevelWarn, "the cluster cannot be joined yet", slog.Any("error", why))
	}
}

// name is what the node is called.
func (c *ClusterOptions) name() string {
	node := c.Node
	if node == "" {
		node, _ = os.Hostname()
	}
	if node == "" {
		node = "weir"
	}
	return node
}

// join makes the server a member, if it has a broker, and opens what it follows. It is called once the loops run, and ends with an
// error when the server is told to leave.
func (f *fleet) join(ctx context.Context) error {
	o := &f.of.opts.Cluster
	if o.Broker == nil {
		return nil
	}
	ctx, cancel := f.untilTold(ctx)
	defer cancel()
	node := o.name()
	m, err := f.enter(ctx, node)
	if err != nil {
		return fmt.Errorf("join the cluster: %w", err)
	}
	f.member.Store(&joined{m, node})
	f.of.log.Info("joined the cluster", "node", node, "id", f.id)
	if err := f.listen(ctx); err != nil {
		return err
	}
	if err := f.greet(ctx, node); err != nil {
		return err
	}
	for _, n := range f.of.byPath.All() {
		if err := f.serve(ctx, n); err != nil {
			return err
		}
	}
	if err := f.of.hub.OpenLogs(ctx); err != nil {
		return fmt.Errorf("join the cluster: %w", err)
	}
	return nil
}

// enter joins as long as the node is to wait for its broker.
func (f *fleet) enter(ctx context.Context, node string) (cluster.Member, error) {
	o := &f.of.opts.Cluster
	if o.JoinTimeout >= 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, orDefault(o.JoinTimeout, defaultJoinTimeout))
		defer cancel()
	}
	return o.Broker.Join(ctx, node, f)
}

// errTold is why a server that has not begun to serve ends.
var errTold = errors.New("the server was told to end before it had joined")

// untilTold is a context that ends too when the server is told to leave or is closed.
func (f *fleet) untilTold(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, end := context.WithCancelCause(ctx)
	f.running.Go(func() { f.runUntilTold(ctx, end) })
	return ctx, func() { end(nil) }
}

// runUntilTold ends with ctx, which it ends when the server is told to.
func (f *fleet) runUntilTold(ctx context.Context, end context.CancelCauseFunc) {
	select {
	case <-f.of.abort:
		end(errTold)
	case <-f.of.drain.Began():
		end(errTold)
	case <-ctx.Done():
	}
}
