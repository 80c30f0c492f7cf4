package journal

import (
	"context"
	"log/slog"
	"path"
	"sync"
	"sync/atomic"
	"time"
)

// Kind says what has happened.
type Kind uint8

// The kinds. All but Healed, Torn and Unused are bad news.
const (
	Damaged  Kind = iota // something on the disk is not what was written; what is sound is used
	Torn                 // the end of a file was never completed, as after a crash; it was cut
	Unused               // a file that never had a record was removed
	Refusing             // appends are refused, from now until Healed
	Healed               // appends succeed again
	Unsynced             // what was confirmed may not outlive the machine
	Leftover             // a file stays that should be gone, or longer than it should be
	Pruned               // a copy that was set aside is gone: there were too many
)

func (k Kind) String() string {
	names := [...]string{"damaged", "torn", "unused", "refusing", "healed", "unsynced", "leftover", "pruned"}
	if int(k) < len(names) {
		return names[k]
	}
	return "unknown"
}

// Incident is something that an operator should hear of, once: there is none for each message.
type Incident struct {
	Kind             Kind
	Namespace, Topic string // "" = the journal's, or not known
	File             string // in the directory of the journal
	Text             string // a sentence
	Err              error
	Since            time.Time // Healed: when the refusing began
}

// report tells of an incident of a topic.
func (l *Log) report(e Incident) {
	e.Namespace, e.Topic = l.namespace, l.topic
	l.j.report(e)
}

// report tells the owner, or else the log. No lock is held.
func (j *Journal) report(e Incident) {
	if j.options.Incidents != nil {
		j.options.Incidents(e)
		return
	}
	level := slog.LevelError
	switch e.Kind {
	case Healed, Unused:
		level = slog.LevelInfo
	case Torn, Pruned:
		level = slog.LevelWarn
	case Damaged, Refusing, Unsynced, Leftover:
	}
	j.log.LogAttrs(context.Background(), level, "journal: "+e.Text, e.attributes()...)
}

func (e *Incident) attributes() []slog.Attr {
	var all []slog.Attr
	for _, a := range []slog.Attr{
		slog.String("namespace", e.Namespace), slog.String("topic", e.Topic), slog.String("file", e.File),
	} {
		if a.Value.String() != "" {
			all = append(all, a)
		}
	}
	if e.Err != nil {
		all = append(all, slog.Any("error", e.Err))
	}
	if !e.Since.IsZero() {
		all = append(all, slog.Time("since", e.Since))
	}
	return all
}

// damage says loudly that something on the disk is not what was written.
func (l *Log) damage(what, name string) {
	l.j.stats.damaged.Add(1)
	l.report(Incident{Kind: Damaged, File: path.Join(l.dir, name), Text: what})
}

// healsAfter is how long no append was refused, when one of another topic shows that the disk takes them again.
const healsAfter = 5 * time.Second

// health is whether appends succeed.
type health struct {
	sick atomic.Bool

	mu    sync.Mutex
	since time.Time // when the first was refused
	last  time.Time // when one was
	topic *Log      // whose
	err   error
}

// sick notes that appends were refused. Only the first is told.
func (j *Journal) sick(l *Log, err error) {
	h := &j.health
	now := time.Now()
	h.mu.Lock()
	first := h.err == nil
	if first {
		h.since = now
	}
	h.last, h.topic, h.err = now, l, err
	h.sick.Store(true)
	h.mu.Unlock()
	if first {
		l.report(Incident{Kind: Refusing, Err: err, Text: "appends are refused until the disk takes them"})
	}
}

// healthy notes that a topic's appends have succeeded.
func (j *Journal) healthy(l *Log) {
	h := &j.health
	if !h.sick.Load() {
		return
	}
	h.mu.Lock()
	heals := h.err != nil && (h.topic == l || time.Since(h.last) > healsAfter)
	since := h.since
	if heals {
		h.since, h.last, h.topic, h.err = time.Time{}, time.Time{}, nil, nil
		h.sick.Store(false)
	}
	h.mu.Unlock()
	if heals {
		l.report(Incident{Kind: Healed, Since: since, Text: "appends succeed again"})
	}
}

// trouble is since when appends are refused, and the newest reason; nil: they are not.
func (h *health) trouble() (since time.Time, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.since, h.err
}
