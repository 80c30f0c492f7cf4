package demo

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"mime"
	"net/http"
	"time"
)

//go:embed assets
var embedded embed.FS

// policy lets the page load what this server has, and nothing else: no inline script or style, no other origin.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

const (
	stateEvery  = 200 * time.Millisecond
	maxSlowBody = 1 << 10 // bytes of a POST /demo/slow
)

// pageHandler is everything the demo serves besides Socket.IO:
//
//	GET  /            the page and its files
//	GET  /demo/about  what does not change: the actions, the lane's size, the curl line
//	GET  /demo/state  State as server-sent events, five a second
//	POST /demo/slow   Setting; a field left out stays as it is
func (d *Demo) pageHandler() http.Handler {
	files, err := fs.Sub(embedded, "assets")
	if err != nil {
		panic(err) // not reached: the directory is embedded
	}
	mux := http.NewServeMux()
	mux.Handle("GET /", http.FileServerFS(files))
	mux.HandleFunc("GET /demo/about", d.serveAbout)
	mux.HandleFunc("GET /demo/state", d.serveState)
	mux.HandleFunc("POST /demo/slow", d.serveSlow)
	mux.HandleFunc("GET /demo/slow", onlyPost) // which the files would answer
	return secured(http.NewCrossOriginProtection().Handler(mux))
}

func onlyPost(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Allow", http.MethodPost)
	http.Error(w, "want POST", http.StatusMethodNotAllowed)
}

// secured sets the headers every answer has.
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-cache")
		next.ServeHTTP(w, r)
	})
}

// about is what the page asks once.
type about struct {
	Namespace    string   `json:"namespace"`
	HelloTopic   string   `json:"helloTopic"`
	LaneMessages int      `json:"laneMessages"`
	MinRate      int      `json:"minRate"`
	MaxRate      int      `json:"maxRate"`
	TicksPerSec  int      `json:"ticksPerSecond"`
	BytesPerTick int      `json:"bytesPerTick"`
	Curl         string   `json:"curl"`
	Actions      []Action `json:"actions"`
}

func (d *Demo) serveAbout(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, about{
		Namespace: Namespace, HelloTopic: HelloTopic, LaneMessages: laneMessages, MinRate: MinRate, MaxRate: MaxRate,
		TicksPerSec: int(time.Second / tickEvery), BytesPerTick: tickBytes, Curl: d.Curl(), Actions: d.actions,
	})
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the page is gone if this fails
}

// serveState ends when the page leaves or the demo does.
func (d *Demo) serveState(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	t := time.NewTicker(stateEvery)
	defer t.Stop()
	for {
		if err := d.sendState(w, r); err != nil {
			d.log.LogAttrs(r.Context(), slog.LevelDebug, "state stream ended", slog.Any("error", err))
			return
		}
		if err := out.Flush(); err != nil {
			return // the page has left
		}
		select {
		case <-t.C:
		case <-r.Context().Done():
			return
		case <-d.leaving:
			return
		}
	}
}

func (d *Demo) sendState(w io.Writer, r *http.Request) error {
	s, err := d.state(r.Context())
	if err != nil {
		return err
	}
	raw, err := json.Marshal(s)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "data: %s\n\n", raw)
	return err
}

// serveSlow changes how the slow clients read, and answers with the setting that holds now.
func (d *Demo) serveSlow(w http.ResponseWriter, r *http.Request) {
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		http.Error(w, "want Content-Type: application/json", http.StatusUnsupportedMediaType)
		return
	}
	c, err := parseChange(http.MaxBytesReader(w, r.Body, maxSlowBody))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	writeJSON(w, d.pace.Change(c.apply))
}

// change is a Setting of which fields may be missing.
type change struct {
	Rate    *int  `json:"rate"`
	Stalled *bool `json:"stalled"`
}

func (c change) apply(s *Setting) {
	if c.Rate != nil {
		s.Rate = *c.Rate
	}
	if c.Stalled != nil {
		s.Stalled = *c.Stalled
	}
}

func parseChange(body io.Reader) (c change, err error) {
	in := json.NewDecoder(body)
	in.DisallowUnknownFields()
	if err := in.Decode(&c); err != nil {
		return c, fmt.Errorf("want {\"rate\":number,\"stalled\":boolean}: %w", err)
	}
	if _, err := in.Token(); err != io.EOF {
		return c, errors.New("want one JSON object, but more follows")
	}
	if r := c.Rate; r != nil && *r != 0 && (*r < MinRate || *r > MaxRate) {
		return c, fmt.Errorf("rate %d: want 0 for full, or %d to %d bytes per second", *r, MinRate, MaxRate)
	}
	return c, nil
}
