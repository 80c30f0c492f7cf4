package main

import (
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/streamweir/weir"
	"github.com/streamweir/weir/internal/attach"
	"github.com/streamweir/weir/internal/config"
	"github.com/streamweir/weir/internal/watch"
)

// How soon a change of the configuration is noticed: files are looked at whenever the system tells of a change, and in any case
// so often; a change is given time to be complete.
const (
	configEvery  = time.Minute
	configSettle = 200 * time.Millisecond
)

// reloader puts a newer configuration in force in a running server, as far as it can: all that can, or nothing where the file
// cannot be used. SIGHUP, POST /api/reload and changes of the files ask for it.
type reloader struct {
	f     fileFlags
	srv   *weir.Server
	log   *slog.Logger
	level *slog.LevelVar

	running atomic.Pointer[config.Running]
	applied atomic.Uint64
	refused atomic.Uint64
	last    atomic.Int64 // when one was applied, in nanoseconds since 1970; 0: never

	mu   sync.Mutex // one at a time
	told string     // what the log has been told of the files last
}

// reloaded is what became of it.
type reloaded struct {
	Changed      []string `json:"changed"`      // in force now, by path
	NeedsRestart []string `json:"needsRestart"` // differ from what is in force, and stay so until a restart
}

func newReloader(f fileFlags, c *config.Config, log *slog.Logger, level *slog.LevelVar) *reloader {
	r := &reloader{f: f, log: log, level: level}
	r.running.Store(c.Running())
	c.Extras.Config = func() any { return r.running.Load().Effective() }
	c.Extras.Reload = func() (any, error) {
		_ = r.srv.Reload() // it has logged what cannot be used
		return r.reload("POST /api/reload", true)
	}
	c.Extras.Reloads = func() attach.Reloads {
		x := attach.Reloads{Applied: r.applied.Load(), Refused: r.refused.Load()}
		if at := r.last.Load(); at != 0 {
			x.Last = time.Unix(0, at)
		}
		return x
	}
	return r
}

// hangup is a SIGHUP: certificates are read again, too.
func (r *reloader) hangup() {
	_ = r.srv.Reload() // it has logged what cannot be used
	_, _ = r.reload("SIGHUP", true)
}

// look is a reload if the files have changed: they are read to find out. It says nothing twice.
func (r *reloader) look() { _, _ = r.reload("the files have changed", false) }

// reload reads the configuration, with the flags and the environment of the start, and logs what became of it. asked says that
// somebody waits for an answer: else what was said already is neither said nor counted again.
func (r *reloader) reload(why string, asked bool) (reloaded, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	next, err := r.read()
	if err != nil {
		r.refuse(why, err, asked)
		return reloaded{}, err
	}
	p := r.running.Load().Plan(next)
	out := reloaded{Changed: p.Live, NeedsRestart: p.Restart}
	said := strings.Join(p.Restart, " ")
	if !asked && len(p.Live) == 0 && said == r.told {
		return out, nil
	}
	if slices.Contains(p.Live, "log.level") {
		r.level.Set(next.Log.Level)
	}
	attach.Apply(r.srv, &next.Options, p.Parts)
	r.running.Store(p.Next)
	r.told = said
	r.applied.Add(1)
	r.last.Store(time.Now().UnixNano())
	log := r.log.Info
	if len(p.Restart) > 0 {
		log = r.log.Warn
	}
	log("configuration read again", "why", why, "changed", p.Live, "needsRestart", p.Restart)
	return out, nil
}

// maxReads is how often files are read that change meanwhile.
const maxReads = 5

// read reads the configuration until it is the same twice: it is several files, which may be swapped between two of them.
func (r *reloader) read() (*config.Config, error) {
	last, err := r.f.read()
	for range maxReads {
		if err != nil {
			return nil, err
		}
		var again *config.Config
		if again, err = r.f.read(); err == nil && last.Running().Same(again) {
			return again, nil
		}
		last = again
	}
	if err == nil {
		err = errors.New("its files change faster than they can be read")
	}
	return nil, err
}

// refuse says why the configuration that is in force stays.
func (r *reloader) refuse(why string, err error, asked bool) {
	said := "error " + err.Error()
	if !asked && said == r.told {
		return
	}
	r.told = said
	r.refused.Add(1)
	const msg = "the configuration is not usable; the server goes on as it is"
	var problems *config.Problems
	if !errors.As(err, &problems) {
		r.log.Error(msg, "why", why, "error", err)
		return
	}
	for _, p := range problems.List {
		r.log.Error(msg, "why", why, "file", position(p.File, p.Line, p.Column), "path", p.Path, "error", p.Message)
	}
}

// watch has the files looked at that change; it ends with done, or when what it reads answers after that.
func (r *reloader) watch(paths []string, done <-chan struct{}) {
	watch.New(watch.Options{
		Paths: paths, Every: configEvery, Settle: configSettle, Look: r.look,
		Blind: func(err error) {
			r.log.Warn("changes of the configuration are noticed with a delay of a minute: the system does not tell of them", "error", err)
		},
	}).Run(done)
}
