package weir

import (
	"context"
	"time"
	"unsafe"

	"github.com/streamweir/weir/internal/args"
	"github.com/streamweir/weir/internal/link"
	"github.com/streamweir/weir/internal/survey"
	"github.com/streamweir/weir/internal/workers"
)

// The sizes of what an idle connection holds, in bytes.
const (
	ClientSize = unsafe.Sizeof(link.Client{})
	SocketSize = unsafe.Sizeof(Socket{})
)

// Door is what a test asks of a server of the options.
type Door struct {
	Name       string
	Namespaces []string
	Auth       bool
}

// DoorsForTest lists the servers of the options as they came out.
func DoorsForTest(s *Server) (list []Door) {
	for _, d := range s.doors {
		out := Door{Name: d.opts.Name, Auth: d.opts.Auth, Namespaces: []string{}}
		for _, n := range d.opts.Namespaces {
			out.Namespaces = append(out.Namespaces, n.Path)
		}
		list = append(list, out)
	}
	return list
}

// ViewForTest is what the application sees of a client.
func ViewForTest(v *survey.Client) ClientView { return viewOf(v) }

// PressedForTest returns what a loop of s asks before it sleeps, and work gives s a job of a socket of its own.
func PressedForTest(s *Server) (pressed func() bool, work func(job func())) {
	return s.newPressed(), func(job func()) {
		m := new(workers.Mailbox)
		m.Init(s.workers, &workers.MailboxLimits{}, nil)
		m.Push(jobFunc(func(context.Context) { job() }), 1)
	}
}

// SweepJournal does what the server does every minute, as of that time.
func (s *Server) SweepJournal(now time.Time) { s.disk.sweep(now) }

// EventCheckForTest returns what holds an event to its schema, as a worker does before the event's handlers run: one argument, raw
// JSON, of an event of that name.
func EventCheckForTest(s *Server, namespace, event, arg string) func() error {
	n := s.byPath.Find(namespace)
	e := &Event{Name: event, Args: Args{args.New([]byte(`["`+event+`",`+arg+`]`), 1, nil)}, socket: &Socket{}}
	return func() error { return n.checkEvent(nil, e) }
}
