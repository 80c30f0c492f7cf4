package journal

import (
	"context"
	"log/slog"
	"path"
	"time"
)

// Kind says what has happened.
type Kind uint8

// The kinds. All but Healed, Torn and Unused are bad news.
const (
	Damaged    Kind = iota // something on the disk is not what was written; what is sound is used
	Torn                   // the end of a file was never completed, as after a crash; it was cut
	Unused                 // a file that never had a record was removed
	Refusing               // appends are refused, from now until Healed; see Incident.What
	Slow                   // the disk hangs, or is slower than the appends, from now until Healed
	Healed                 // What is over
	Unsynced               // what was confirmed may not outlive the machine
	Leftover               // a file stays that should be gone, or longer than it should be
	Pruned                 // a copy that was set aside is gone: there were too many
	Unreadable             // the disk does not let what is in a segment be read; lanes that need it wait, or give it up
	Removed                // somebody has removed what was confirmed; none is told again while that goes on
)

func (k Kind) String() string {
	names := [...]string{"damaged", "torn", "unused", "refusing", "slow", "healed", "unsynced", "leftover", "pruned", "unreadable", "removed"}
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
	What             What      // Refusing, Slow, Removed, Healed
	Since            time.Time // Healed: when it began
}

// report tells of an incident of a topic.
func (l *Log) report(e Incident) {
	e.Namespace, e.Topic = l.namespace, l.topic
	l.j.report(e)
}

// tellUnread is how often at most it is told that the disk cannot be read: whoever waits for it tries again and again.
const tellUnread = time.Minute

// unreadable tells that a segment cannot be read, of all logs of a journal once in a while.
func (l *Log) unreadable(s *segment, err error) {
	now, last := time.Now().UnixNano(), l.j.unreadAt.Load()
	if now-last >= int64(tellUnread) && l.j.unreadAt.CompareAndSwap(last, now) {
		l.report(Incident{
			Kind: Unreadable, File: path.Join(l.dir, s.name), Err: err,
			Text: "what is on the disk cannot be read; reliable lanes that need it wait, others give it up",
		})
	}
}

// report tells the owner. No lock is held.
func (j *Journal) report(e Incident) {
	if j.options.Incidents != nil {
		j.options.Incidents(e)
	}
}

// Log writes the incident as one line. Only bad news are errors.
func (e *Incident) Log(log *slog.Logger) {
	level := slog.LevelError
	switch e.Kind {
	case Healed, Unused:
		level = slog.LevelInfo
	case Torn, Pruned, Slow:
		level = slog.LevelWarn
	case Damaged, Refusing, Unsynced, Leftover, Unreadable, Removed:
	}
	log.LogAttrs(context.Background(), level, "journal: "+e.Text, e.attributes()...)
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
