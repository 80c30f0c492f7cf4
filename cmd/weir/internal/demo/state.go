package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/streamweir/weir"
)

// State is what the page is told several times a second.
type State struct {
	Now     int64       `json:"now"`     // the server's clock, milliseconds since 1970: what ages are measured against
	Started int64       `json:"started"` // when this demo was made, by the same clock: counts begin there
	Setting Setting     `json:"setting"`
	Slow    []SlowState `json:"slow"` // in the order of Actions
}

// SlowState is one slow client and its lane.
type SlowState struct {
	Topic    string     `json:"topic"`
	Status   SlowStatus `json:"status"`
	Received uint64     `json:"received"`
	Newest   *Tick      `json:"newest,omitempty"`
	Missing  uint64     `json:"missing"`           // prices that it has not received between those it has
	Disorder uint64     `json:"disorder"`          // prices that came behind a later one
	RetryAt  int64      `json:"retryAt,omitempty"` // milliseconds since 1970, while it is away
	Lane     LaneState  `json:"lane"`
}

// state asks the server about the lanes and the slow clients about themselves.
func (d *Demo) state(ctx context.Context) (State, error) {
	clients, err := d.clients(ctx)
	if err != nil {
		return State{}, err
	}
	s := State{Now: time.Now().UnixMilli(), Started: d.started, Setting: d.pace.Setting()}
	for _, r := range d.readers {
		r.observe(clients)
		s.Slow = append(s.Slow, r.state())
	}
	return s, nil
}

// clients asks the management API, in process, for what it tells operators.
func (d *Demo) clients(ctx context.Context) ([]weir.ClientView, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "/api/clients?limit=1000&namespace="+Namespace, nil)
	if err != nil {
		return nil, err
	}
	var w answer
	d.management.ServeHTTP(&w, r)
	if w.status != http.StatusOK {
		return nil, fmt.Errorf("GET %s: status %d: %s", r.URL, w.status, w.body.Bytes())
	}
	var found struct {
		Clients []weir.ClientView `json:"clients"`
	}
	if err := json.Unmarshal(w.body.Bytes(), &found); err != nil {
		return nil, fmt.Errorf("GET %s: %w", r.URL, err)
	}
	return found.Clients, nil
}

// answer keeps the answer of a handler called in process. It implements http.ResponseWriter.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (a *answer) Header() http.Header {
	if a.header == nil {
		a.header = make(http.Header)
	}
	return a.header
}

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

// Write implements http.ResponseWriter.
func (a *answer) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(b)
}

// reader is a slow client with the server's books about it.
type reader struct {
	topic  string
	client *SlowClient
	books  books
}

// observe books what the server says of the client, which is there or is gone.
func (r *reader) observe(clients []weir.ClientView) {
	if socket, lane, ok := r.find(clients); ok {
		r.books.observe(socket, lane)
	} else {
		r.books.gone()
	}
}

// cut books the client if it is among those of a cut connection.
func (r *reader) cut(clients []weir.ClientView) {
	if socket, lane, ok := r.find(clients); ok {
		r.books.cut(socket, lane)
	}
}

// find looks for the client's lane among those of the server.
func (r *reader) find(clients []weir.ClientView) (socket string, lane laneFigures, ok bool) {
	socket = r.client.View().Socket
	for i := range clients {
		if clients[i].ID == socket {
			if lane, ok = laneOf(&clients[i], r.topic); ok {
				return socket, lane, true
			}
		}
	}
	return socket, laneFigures{}, false
}

// laneFigures are what the management API says of one lane, as far as the page shows it.
type laneFigures struct {
	Depth, Bytes int
	Spilled      int
	SpilledBytes int64
	OldestMs     int64
	Coalesced    uint64
	Drops        map[string]uint64
}

func laneOf(c *weir.ClientView, topic string) (laneFigures, bool) {
	for _, l := range c.Lanes {
		if l.Topic == topic {
			return laneFigures{Depth: l.Depth, Bytes: l.Bytes, Spilled: l.Spilled, SpilledBytes: l.SpilledBytes, OldestMs: l.OldestMs, Coalesced: l.Coalesced, Drops: l.Drops}, true
		}
	}
	return laneFigures{}, false
}

func (r *reader) state() SlowState {
	v := r.client.View()
	s := SlowState{Topic: r.topic, Status: v.Status, Received: v.Received, Missing: v.Missing, Disorder: v.Disorder, Lane: r.books.state()}
	if v.Newest.At != 0 {
		s.Newest = &v.Newest
	}
	if v.Status == Away {
		s.RetryAt = v.RetryAt.UnixMilli()
	}
	return s
}
