package admin

import (
	"context"
	"fmt"
	"html"
	"net/http"
	"runtime"
	"runtime/pprof"
	"runtime/trace"
	"strings"
	"time"

	"github.com/streamweir/weir/internal/base"
)

// profilePath is where `go tool pprof` looks. net/http/pprof is not used: importing
// it would put profiles on the embedding application's http.DefaultServeMux.
const profilePath = "/debug/pprof/"

// maxProfile bounds a profile over time, in seconds.
const maxProfile = 60

// profile serves GET /debug/pprof/: the list, "profile" and "trace" over some
// seconds, and the runtime's profiles by name. One at a time.
func (a *api) profile(w http.ResponseWriter, r *http.Request) error {
	name := strings.TrimPrefix(r.URL.Path, profilePath)
	q := parseQuery(r.URL)
	if name == "" {
		if err := q.end(); err != nil {
			return err
		}
		return listProfiles(w)
	}
	take, err := profileOf(name, q)
	if err != nil {
		return err
	}
	select {
	case a.profiles <- struct{}{}:
		defer func() { <-a.profiles }()
	default:
		return refuse(base.CodeLimited, "a profile is being taken: one at a time")
	}
	a.wrote(r, "profile "+name)
	return take(r.Context(), w)
}

// taker takes one profile and writes it.
type taker func(context.Context, http.ResponseWriter) error

func profileOf(name string, q *query) (taker, error) {
	switch name {
	case "profile":
		seconds := q.count("seconds", 30, 1, maxProfile)
		return func(ctx context.Context, w http.ResponseWriter) error { return cpuProfile(ctx, w, seconds) }, q.end()
	case "trace":
		seconds := q.count("seconds", 1, 1, maxProfile)
		return func(ctx context.Context, w http.ResponseWriter) error { return execTrace(ctx, w, seconds) }, q.end()
	}
	p := pprof.Lookup(name)
	if p == nil {
		return nil, refuse(base.CodeUnknown, "no such profile: %q", name)
	}
	debug, collect := q.count("debug", 0, 0, 2), q.flag("gc")
	return func(_ context.Context, w http.ResponseWriter) error {
		if collect {
			runtime.GC()
		}
		if debug > 0 {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		} else {
			asFile(w, name)
		}
		_ = p.WriteTo(w, debug) // the caller is gone if this fails
		return nil
	}, q.end()
}

func cpuProfile(ctx context.Context, w http.ResponseWriter, seconds int) error {
	asFile(w, "profile")
	if err := pprof.StartCPUProfile(w); err != nil {
		return inUse(w, err)
	}
	wait(ctx, seconds)
	pprof.StopCPUProfile()
	return nil
}

func execTrace(ctx context.Context, w http.ResponseWriter, seconds int) error {
	asFile(w, "trace")
	if err := trace.Start(w); err != nil {
		return inUse(w, err)
	}
	wait(ctx, seconds)
	trace.Stop()
	return nil
}

// inUse says that the application itself takes a profile.
func inUse(w http.ResponseWriter, err error) error {
	w.Header().Del("Content-Disposition")
	return refuse(base.CodeLimited, "%v", err)
}

func asFile(w http.ResponseWriter, name string) {
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
}

// wait lasts some seconds, or until the caller leaves.
func wait(ctx context.Context, seconds int) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(seconds)*time.Second)
	defer cancel()
	<-ctx.Done()
}

func listProfiles(w http.ResponseWriter) error {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	var b strings.Builder
	b.WriteString("<!doctype html><title>profiles</title><pre>\n")
	b.WriteString(`<a href="profile?seconds=30">profile</a> CPU over some seconds, at most 60` + "\n")
	b.WriteString(`<a href="trace?seconds=1">trace</a> execution trace` + "\n")
	for _, p := range pprof.Profiles() {
		fmt.Fprintf(&b, "<a href=\"%[1]s?debug=1\">%[1]s</a> %d\n", html.EscapeString(p.Name()), p.Count())
	}
	b.WriteString("</pre>\n")
	_, _ = w.Write([]byte(b.String())) // the caller is gone if this fails
	return nil
}
