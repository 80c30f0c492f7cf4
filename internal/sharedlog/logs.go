package sharedlog

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"

	"github.com/streamweir/weir/cluster"
	"github.com/streamweir/weir/internal/topiclog"
)

// Broker is what this room needs of a cluster.Member.
type Broker interface {
	Append(ctx context.Context, log string, o cluster.AppendOptions, data ...[]byte) ([]cluster.Position, error)
	Read(ctx context.Context, log string, after uint64, most cluster.Limit) (cluster.Page, error)
	Follow(ctx context.Context, logs ...string) error
	Unfollow(logs ...string)
}

// Logs are the logs of one node. It is told what its listener hears; any goroutine may call any method.
type Logs struct {
	pages chan struct{} // one for each page that is being read and delivered for a log that is behind

	mu     sync.Mutex
	byName map[string]*Log
}

// NewLogs returns none yet.
func NewLogs() *Logs {
	return &Logs{pages: make(chan struct{}, maxPages), byName: make(map[string]*Log)}
}

// maxPages is how many logs that are behind have a page in memory at the same time: when the broker is back all may be.
const maxPages = 8

// ErrOpen says that a log of that name is open already.
var ErrOpen = errors.New("the log is open already")

// Options are a log's.
type Options struct {
	Namespace, Topic string
	Keep             int              // records that the broker keeps, at least 1
	Deliver          topiclog.Deliver // also of breaches, before the two that follow hear of them

	// Holder counts what the log holds; nil: nobody counts.
	Holder cluster.Holder

	// Missed hears that records behind an offset and up to another were not delivered: they have given way before they could be
	// read. It must not block.
	Missed func(after, upto uint64)

	// Renumbered hears that the broker has lost the log and begun another one. It must not block.
	Renumbered func(was, is string)
}

// Name is the name of a topic's log at the broker.
func Name(namespace, topic string) string { return "topic:" + namespace + ":" + topic }

// Open opens a topic's log. It waits for the broker, and follows nothing yet.
//
// Errors: ErrOpen, the broker's.
func (l *Logs) Open(ctx context.Context, b Broker, o Options) (*Log, error) {
	g := newLog(l, b, o)
	if !l.enter(g) {
		return nil, ErrOpen
	}
	if err := g.begin(ctx); err != nil {
		l.leave(g)
		return nil, fmt.Errorf("open the log of topic %q of %s: %w", o.Topic, o.Namespace, err)
	}
	g.running.Go(g.run)
	g.running.Go(g.runAppends)
	return g, nil
}

func (l *Logs) enter(g *Log) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.byName[g.name] != nil {
		return false
	}
	l.byName[g.name] = g
	return true
}

func (l *Logs) leave(g *Log) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.byName, g.name)
}

// Entries is cluster.Listener's.
func (l *Logs) Entries(name string, entries []cluster.Entry) {
	l.mu.Lock()
	g := l.byName[name]
	l.mu.Unlock()
	if g != nil {
		g.hear(entries)
	}
}

// Lapsed is cluster.Listener's.
func (l *Logs) Lapsed() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, g := range l.byName {
		g.lapse()
	}
}

// NewOrigin is a name that nothing else has, of 16 bytes.
func NewOrigin() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	return hex.EncodeToString(b[:])
}
