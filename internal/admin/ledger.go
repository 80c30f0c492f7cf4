package admin

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// Ledger counts publishes by the name of the key they came with, and sums them up in
// the log (operating.md): a line for each publish would be most of what a publish
// costs, and most of the log. Any goroutine may use it.
type Ledger struct {
	log *slog.Logger

	mu    sync.Mutex
	keys  map[string]*account
	since time.Time
}

// account is the requests that came with one key since the last sum.
type account struct {
	published, refused uint64
}

// NewLedger returns a ledger without entries. Somebody has to Sum it up.
func NewLedger(log *slog.Logger) *Ledger {
	return &Ledger{log: log, keys: make(map[string]*account), since: time.Now()}
}

// add counts messages of a key.
func (l *Ledger) add(key string, published, refused uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.keys[key]
	if k == nil {
		k = new(account)
		l.keys[key] = k
	}
	k.published += published
	k.refused += refused
}

// Sum logs a line for each key that something came with since the last Sum.
func (l *Ledger) Sum() {
	l.mu.Lock()
	keys, since := l.keys, l.since
	l.keys, l.since = make(map[string]*account), time.Now()
	l.mu.Unlock()
	type entry struct {
		name string
		*account
	}
	var list []entry
	for name, k := range keys {
		list = append(list, entry{name, k})
	}
	slices.SortFunc(list, func(a, b entry) int { return cmp.Compare(a.name, b.name) })
	for _, k := range list {
		l.log.LogAttrs(context.Background(), slog.LevelInfo, "management publishes", slog.String("key", k.name),
			slog.Uint64("published", k.published), slog.Uint64("refused", k.refused),
			slog.Int64("seconds", int64(time.Since(since).Round(time.Second).Seconds())))
	}
}

// published counts what became of the request in a workspace, and logs it at DEBUG.
func (a *api) published(ctx context.Context, t *workspace, who caller, p *publication, err error) {
	if err != nil {
		a.Ledger.add(who.name, 0, 1)
	} else {
		a.Ledger.add(who.name, 1, 0)
	}
	a.debugPublish(ctx, t, who, p, err)
}

// debugPublish logs one publish at DEBUG.
func (a *api) debugPublish(ctx context.Context, t *workspace, who caller, p *publication, err error) {
	if !a.Logger.Enabled(ctx, slog.LevelDebug) {
		return
	}
	attrs := []slog.Attr{
		slog.String("key", who.name), slog.String("namespace", t.request.Namespace), slog.String("topic", t.request.Topic),
	}
	if err != nil {
		attrs = append(attrs, slog.Any("error", err))
	} else {
		attrs = append(attrs, slog.String("messageId", p.pending.MessageID), slog.Uint64("offset", p.pending.Offset))
	}
	a.Logger.LogAttrs(ctx, slog.LevelDebug, "management publish", attrs...)
}
