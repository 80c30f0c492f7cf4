package weir

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/streamweir/weir/internal/budget"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/guard"
	"github.com/streamweir/weir/internal/journal"
	"github.com/streamweir/weir/internal/topiclog"
	"github.com/streamweir/weir/internal/vfs"
)

// Fsync says what a publication has survived when it succeeds. Under all of them a process that is killed loses nothing it has
// confirmed (see Receipt.Unkept).
type Fsync string

// The policies.
const (
	FsyncInterval Fsync = "interval" // the default: a machine that fails loses what was published since JournalOptions.Interval
	FsyncAlways   Fsync = "always"   // nothing that was confirmed, or seen by a client, is lost
	FsyncNever    Fsync = "never"    // left to the operating system: a machine that fails loses some tens of seconds
)

// WhenFull says what gives way when the journal has JournalOptions.MaxBytes.
type WhenFull string

// What gives way.
const (
	WhenFullRefuse     WhenFull = "refuse"      // the default: the publication. ErrUnavailable for reliable ones; best-effort ones reach who has room
	WhenFullDropOldest WhenFull = "drop-oldest" // the oldest records of any topic, read or not
)

// JournalOptions are the log on disk behind SpillToDisk and Retention. Without a topic that needs it nothing is opened and
// nothing started.
type JournalOptions struct {
	// Path is its directory, made if it is not there, for the process alone: files 0600, and a second process is refused.
	Path     string
	Fsync    Fsync
	Interval time.Duration // between two syncs; default 50 ms; 1 ms and more
	MaxBytes int64         // of all files; default 10 GiB; 1 MiB and more
	WhenFull WhenFull
}

// Retention bounds what the journal keeps of a topic: what is older, or more, is deleted, whether its clients have read it or
// not. Zero fields are defaults.
type Retention struct {
	MaxAge   time.Duration // default an hour; 24 days at most
	MaxBytes int64         // default 1 GiB
}

// The defaults of the journal.
const (
	defaultInterval       = 50 * time.Millisecond
	defaultJournalBytes   = 10 << 30
	leastJournal          = 1 << 20
	defaultRetention      = time.Hour
	defaultRetentionBytes = 1 << 30
)

func (j *JournalOptions) validate(p *problems) {
	switch j.Fsync {
	case "", FsyncInterval, FsyncAlways, FsyncNever:
	default:
		p.add("Journal.Fsync %q: want interval, always or never", j.Fsync)
	}
	switch j.WhenFull {
	case "", WhenFullRefuse, WhenFullDropOldest:
	default:
		p.add("Journal.WhenFull %q: want refuse or drop-oldest", j.WhenFull)
	}
	if j.Interval != 0 {
		within(p, "Journal.Interval", j.Interval, time.Millisecond, maxDuration)
	}
	if j.MaxBytes != 0 {
		within(p, "Journal.MaxBytes", j.MaxBytes, leastJournal, maxBudget)
	}
}

// journaled reports whether the topic has a log on disk.
func (t *TopicOptions) journaled() bool {
	return t.Overflow == SpillToDisk || t.Retention != Retention{}
}

// validateJournal refuses a topic that needs a journal where there is none.
func (t *TopicOptions) validateJournal(p *problems, at, path string) {
	within(p, at+".Retention.MaxAge", t.Retention.MaxAge, 0, maxDuration)
	within(p, at+".Retention.MaxBytes", t.Retention.MaxBytes, 0, maxBudget)
	switch {
	case path != "":
	case t.Overflow == SpillToDisk:
		p.add("%s.Overflow SPILL_TO_DISK: needs the journal's directory: set journal.path (Options.Journal.Path)", at)
	case t.journaled():
		p.add("%s.Retention: needs the journal's directory: set journal.path (Options.Journal.Path)", at)
	}
}

func (t *TopicOptions) retention() topiclog.Limits {
	return topiclog.Limits{Age: orDefault(t.Retention.MaxAge, defaultRetention), Bytes: int(orDefault(t.Retention.MaxBytes, defaultRetentionBytes))}
}

// disk is the journal of a server, from its first topic that needs one on.
type disk struct {
	of *Server

	journal atomic.Pointer[journal.Journal] // nil: none is open
}

// needed reports whether any topic declared so far has a log on disk.
func (d *disk) needed() bool {
	for _, n := range d.of.byPath.All() {
		for i := range n.opts.Topics {
			if n.opts.Topics[i].journaled() {
				return true
			}
		}
	}
	return false
}

// begin opens the journal and the logs of the topics that are declared by name, if there are any. It is called once the loops run.
func (d *disk) begin(ctx context.Context) error {
	if !d.needed() {
		return nil
	}
	if err := d.open(); err != nil {
		return err
	}
	return d.of.hub.OpenLogs(ctx)
}

// open takes the directory.
func (d *disk) open() error {
	if d.journal.Load() != nil {
		return nil
	}
	o := &d.of.opts.Journal
	j, err := journal.Open(journal.Options{
		FS: vfs.Dir(o.Path), Fsync: o.fsync(), WhenFull: o.whenFull(), Interval: orDefault(o.Interval, defaultInterval),
		MaxBytes:   orDefault(o.MaxBytes, defaultJournalBytes),
		TailsBytes: d.share(32, 16<<20), CacheBytes: d.share(64, 8<<20), QueuesBytes: d.share(32, 64<<20),
		Files:     d.files(),
		Incidents: func(e journal.Incident) { e.Log(d.of.log) },
		Held:      func(more int64) { d.of.hub.Hold(budget.Journal, int(more)) },
	})
	if err != nil {
		return fmt.Errorf("open the journal in %s (journal.path): %w", o.Path, err)
	}
	d.journal.Store(j)
	d.lookAtModes()
	return nil
}

// lookAtModes warns of what others on the machine may read or change in the directory.
func (d *disk) lookAtModes() {
	path := d.of.opts.Journal.Path
	switch e, err := vfs.Dir(path).Exposed(); {
	case err != nil:
		d.of.log.Warn("who may get at the journal's files is not known", "directory", path, "error", err)
	case e.Path != "":
		d.of.log.Warn("others than the server may get at the journal (journal.path)", "path", e.Path, "mode", fmt.Sprintf("%04o", e.Mode), "fix", "chmod -R go-rwx "+path)
	}
}

// files is how many files the journal may have open to be written.
func (d *disk) files() int {
	_, limit := guard.Room(0)
	files, _ := journal.FilesFor(limit)
	return files
}

// descriptors is how many the journal may have at a time, whether it is open or not yet.
func (d *disk) descriptors() int {
	if d.of.opts.Journal.Path == "" {
		return 0
	}
	_, limit := guard.Room(0)
	_, descriptors := journal.FilesFor(limit)
	return descriptors
}

// relieve lets go of what the journal holds in memory only to be faster: it is delivery.Options.Relieve.
func (d *disk) relieve() {
	if j := d.journal.Load(); j != nil {
		j.Shed()
	}
}

// share is a part of the budget, and at most so many bytes.
func (d *disk) share(part int64, most int) int {
	if limit := d.of.hub.Budget(); limit > 0 {
		return max(1, int(min(limit/part, int64(most))))
	}
	return most
}

func (j *JournalOptions) fsync() journal.Fsync {
	switch j.Fsync {
	case FsyncAlways:
		return journal.Always
	case FsyncNever:
		return journal.Never
	case FsyncInterval:
	}
	return journal.Interval
}

func (j *JournalOptions) whenFull() journal.WhenFull {
	if j.WhenFull == WhenFullDropOldest {
		return journal.DropOldest
	}
	return journal.Refuse
}

// errNoJournal is what is told who publishes before Run.
var errNoJournal = errors.New("the server does not run yet")

// topic is delivery.Options.Open.
func (d *disk) topic(of *delivery.Declared, topic string, deliver topiclog.Deliver) (topiclog.Log, error) {
	j := d.journal.Load()
	if j == nil {
		return nil, errNoJournal
	}
	var log topiclog.Log
	var err error
	if of.Reliable() || d.of.opts.Journal.fsync() == journal.Always {
		log, err = j.Topic(of.Namespace.Path, topic, of.Spec.Retention, deliver)
	} else {
		log, err = j.Prompt(of.Namespace.Path, topic, of.Spec.Retention)
	}
	if err != nil {
		d.of.log.Debug("the log of a topic cannot be opened", "namespace", of.Namespace.Path, "topic", topic, "error", err) // the journal says it once for all
		return nil, err
	}
	return log, nil
}

// sweep removes what nobody can read any more: logs of topics that nobody uses and whose newest record is older than
// their retention. Such a topic begins anew, with an epoch of its own. What no declaration covers stays.
func (d *disk) sweep(now time.Time) {
	j := d.journal.Load()
	if j == nil {
		return
	}
	topics, err := j.Topics()
	if err != nil {
		d.of.log.Warn("the journal cannot be looked through", "error", err)
	}
	for _, t := range topics {
		n := d.of.byPath.Find(t.Namespace)
		if t.Open || n == nil || n.d.Declared(t.Topic) == nil {
			continue
		}
		if o := n.topics[n.d.Declared(t.Topic)]; !o.journaled() || now.Sub(t.Newest) <= o.retention().Age {
			continue
		}
		if err := j.Remove(t.Namespace, t.Topic); err != nil {
			d.of.log.Warn("the log of a topic whose time is over cannot be removed", "namespace", t.Namespace, "topic", t.Topic, "error", err)
		}
	}
}

// close lets the directory go, once no log is in use any more.
func (d *disk) close() error {
	j := d.journal.Load()
	if j == nil {
		return nil
	}
	if err := j.Close(); err != nil {
		return fmt.Errorf("close the journal in %s: %w", d.of.opts.Journal.Path, err)
	}
	return nil
}

// await waits until a topic can be subscribed to, where a loop may not.
func (n *Namespace) await(ctx context.Context, topic string) error {
	_, err := n.d.Hear(ctx, topic)
	return wrap(err, "")
}

// subscribeLater subscribes a socket to a topic whose log has to be opened first, without its asking.
//
//weir:loop
func (s *Socket) subscribeLater(topic string, o delivery.SubscribeOptions) {
	s.loop().request(ownFunc{func(ctx context.Context) {
		err := s.ns.await(ctx, topic)
		s.post(func() {
			if err == nil {
				err = s.subscribe(topic, o, func(delivery.Subscription) {})
			}
			if err != nil {
				s.ns.log.Warn("not subscribed automatically", "topic", topic, "socket", s.ID(), "error", err)
			}
		})
	}}, 0)
}
