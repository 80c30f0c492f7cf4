package admin

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"

	"github.com/streamweir/weir/internal/base"
)

// healthz serves GET /healthz: the process answers.
func (a *api) healthz(w http.ResponseWriter, _ *http.Request) error { return plain(w, "ok") }

// readyz serves GET /readyz: new clients are welcome here. Where they are not yet it says all of why to who may read, and to
// nobody without a key.
func (a *api) readyz(w http.ResponseWriter, r *http.Request) error {
	who := callerOf(r.Context())
	if err := a.State.Ready(who.allow.Read && !who.confined()); err != nil {
		return refuse(base.CodeDraining, "not ready: %v", err)
	}
	text := "ready"
	for _, t := range a.Troubles() { // what needs no disk goes on
		text += fmt.Sprintf(", but %s%s: %s", t.Sentence, sinceText(t.Since), t.Detail)
	}
	if what := a.State.Ailing(); what != "" {
		text += ", but " + what
	}
	return plain(w, text)
}

func plain(w http.ResponseWriter, text string) error {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, text+"\n") // the caller is gone if this fails
	return nil
}

// config serves GET /api/config.
func (a *api) config(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, http.StatusOK, a.State.Config())
}

// exporterLog tells what goes wrong in a scrape.
type exporterLog struct{ log *slog.Logger }

// Println implements promhttp.Logger.
func (l exporterLog) Println(v ...any) {
	l.log.Error("scrape failed", slog.String("error", strings.TrimSpace(fmt.Sprintln(v...))))
}
