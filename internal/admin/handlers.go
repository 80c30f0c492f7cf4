package admin

import (
	"net/http"
	"time"
)

// Handlers tells of the application's handlers. Any goroutine may call it.
type Handlers interface {
	// Handlers describes those that run, at most limit of them, those first that have run for the longest.
	Handlers(limit int) HandlersView
}

// HandlersView is the answer to GET /api/handlers.
type HandlersView struct {
	Running    int           `json:"running"`    // jobs of sockets on workers
	Waiting    int           `json:"waiting"`    // jobs in the mailboxes of sockets
	Overdue    int           `json:"overdue"`    // handlers that run beyond their deadline: they ignore their context
	Late       uint64        `json:"late"`       // handlers that have ended after it, since the start
	DeadlineMs int64         `json:"deadlineMs"` // 0: none
	Requests   RequestsView  `json:"requests"`   // what clients ask of Weir itself, and no loop may wait for
	Handlers   []HandlerView `json:"handlers"`
	LeftOut    int           `json:"leftOut,omitempty"` // beyond the limit
}

// RequestsView are clients' requests on their pool.
type RequestsView struct {
	Running int `json:"running"`
	Waiting int `json:"waiting"`
}

// HandlerView is a handler that runs.
type HandlerView struct {
	Namespace string    `json:"namespace"`
	Event     string    `json:"event"`  // "connect" and "disconnect" are OnConnect and OnDisconnect
	Socket    string    `json:"socket"` // "": the event is another node's
	Since     time.Time `json:"since"`
	Ms        int64     `json:"ms"`
	Overdue   bool      `json:"overdue,omitempty"`
}

// The bounds of the answer.
const (
	defaultHandlers = 100
	maxHandlers     = 1000
)

// handlers serves GET /api/handlers.
func (a *api) handlers(w http.ResponseWriter, r *http.Request) error {
	q := parseQuery(r.URL)
	limit := q.count("limit", defaultHandlers, 1, maxHandlers)
	if err := q.end(); err != nil {
		return err
	}
	v := HandlersView{Handlers: []HandlerView{}}
	if a.Handlers != nil {
		v = a.Handlers.Handlers(limit)
	}
	return writeJSON(w, http.StatusOK, v)
}
