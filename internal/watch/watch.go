// Package watch notices that files may have changed: written in place, put in the place of others, or behind a symbolic
// link that points elsewhere now, as Kubernetes swaps the files of secrets and config maps.
package watch

import (
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Options shape a Watcher.
type Options struct {
	Paths []string
	// Every is how often Look is called whatever the system says: it does not tell of changes on network file systems.
	Every time.Duration
	// Settle is how long Look waits after a change, for the files that go with it. Changes go on meanwhile: what is not
	// whole then is looked at again.
	Settle time.Duration
	// Look is called when something may have changed; Blind once if the system does not tell of changes, which are noticed
	// with Every then. Both are called by Run; nil: nobody is told.
	Look  func()
	Blind func(error)
}

// Watcher looks at files.
type Watcher struct {
	options Options
	system  *fsnotify.Watcher // nil: it does not tell
}

// New returns a watcher that does nothing yet.
func New(o Options) *Watcher { return &Watcher{options: o} }

// Run watches until done. It is called once.
func (w *Watcher) Run(done <-chan struct{}) {
	var events <-chan fsnotify.Event
	var errs <-chan error
	system, err := fsnotify.NewWatcher()
	if err == nil {
		w.system, events, errs = system, system.Events, system.Errors
		defer func() { _ = system.Close() }()
		err = w.follow()
	}
	if err != nil && w.options.Blind != nil {
		w.options.Blind(err)
	}
	every := time.NewTicker(w.options.Every)
	defer every.Stop()
	var settled <-chan time.Time
	w.options.Look() // what has changed since the files were read
	for {
		select {
		case <-done:
			return
		case <-events:
			if settled == nil {
				settled = time.After(w.options.Settle)
			}
		case _, open := <-errs: // some events were lost
			if !open {
				errs = nil
				continue
			}
			settled = time.After(w.options.Settle)
		case <-settled:
			settled = nil
			w.look()
		case <-every.C:
			w.look()
		}
	}
}

func (w *Watcher) look() {
	w.options.Look()
	if w.system != nil {
		_ = w.follow() // what cannot be watched now is looked at with Every
	}
}

// follow watches the directories of the files, and of what they are links to: links and files are replaced there.
func (w *Watcher) follow() (first error) {
	want := map[string]bool{}
	for _, p := range w.options.Paths {
		want[filepath.Dir(p)] = true
		if real, err := filepath.EvalSymlinks(p); err == nil {
			want[filepath.Dir(real)] = true
		}
	}
	have := w.system.WatchList()
	for dir := range want {
		if slices.Contains(have, dir) {
			continue
		}
		if err := w.system.Add(dir); err != nil && first == nil {
			first = err
		}
	}
	for _, dir := range have {
		if !want[dir] {
			_ = w.system.Remove(dir) // it has gone
		}
	}
	return first
}
