package weir

import (
	"context"

	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/workers"
)

// desk is where the jobs of a socket are done one after another, while there are any: events, requests that are decided
// elsewhere, answers that wait. A client that does not read what was made for it has its jobs wait, and in the end is not
// read itself:
//
//	events lane half full ──> Ready says no: no job begins ──> the mailbox is full ──> the client is not read
//	the client has read   ──> Taken: the mailbox goes on   ──> Drained             ──> it is read on
type desk struct {
	workers.Mailbox
	unread delivery.Unread
	l      *loopSocket
}

// box is the socket's mailbox.
func (l *loopSocket) box() *workers.Mailbox {
	k := l.desk.Load()
	if k == nil {
		k = &desk{l: l}
		k.Init(l.ns.srv.workers, &l.ns.mail, k)
		l.desk.Store(k)
		if d := l.public().out(); d != nil {
			d.Counts()
		}
	}
	return &k.Mailbox
}

// Trim lets go of a mailbox in which nothing happens: an idle socket has none. A full
// one stays until its resumption, which would not be heard after it.
func (l *loopSocket) Trim() {
	if k := l.desk.Load(); k != nil && !l.full && k.Idle() {
		l.desk.Store(nil)
	}
}

// jobFunc is a function as a job of a mailbox.
type jobFunc = workers.JobFunc

// ownFunc is jobFunc for work of Weir's own, of which nobody hears if the server has stopped.
type ownFunc struct{ jobFunc }

// Refused implements workers.Refusable.
func (ownFunc) Refused(error) {}

// request gives work of Weir's own to the pool for that, in turn with the socket's other jobs: handlers that compute hold it
// up only where they are this socket's.
func (l *loopSocket) request(job workers.Refusable, bytes int) {
	l.put(l.ns.srv.requests, job, bytes)
}

// put gives a job for another pool than the mailbox's own to the socket's mailbox.
func (l *loopSocket) put(w *workers.Pool, job workers.Refusable, bytes int) {
	switch l.box().PushTo(w, job, bytes) {
	case workers.NoRoom:
		job.Refused(workers.ErrFull)
	case workers.Refused:
		job.Refused(workers.ErrClosed)
	case workers.AcceptedFull:
		l.pauseReading()
	case workers.Accepted:
	}
}

// enqueue gives a job to the socket's mailbox; when that is full the client is
// not read until it has room again. The budget counts its bytes until then.
func (l *loopSocket) enqueue(job workers.Job, bytes int) {
	switch l.box().Push(job, bytes) {
	case workers.AcceptedFull:
		l.pauseReading()
	case workers.Refused: // the server has stopped
		if _, event := job.(*eventJob); event {
			l.ns.count.skipped.Add(1)
		}
	case workers.Accepted: // there is room
	case workers.NoRoom: // only of a mailbox whose home takes a number; this one's takes any
	}
}

// pauseReading stops reading from the client until the mailbox, which is full, has room again.
func (l *loopSocket) pauseReading() {
	if !l.full && !l.gone.Load() {
		l.full = true
		l.client.Pause()
	}
}

// release lets go on what waits for a client that has left.
func (l *loopSocket) release() {
	if l.full {
		l.full = false
		l.client.Resume()
	}
	l.Taken()
}

// Unread implements delivery.SocketPeer.
//
//weir:any
func (l *loopSocket) Unread() *delivery.Unread {
	if k := l.desk.Load(); k != nil {
		return &k.unread
	}
	return nil
}

// Taken implements delivery.SocketPeer.
func (l *loopSocket) Taken() {
	if k := l.desk.Load(); k != nil {
		k.Resume()
	}
}

// Ready implements workers.Owner: a job may begin unless the client has yet to take what those before it have made. One that
// has left holds nothing up.
//
//weir:any
func (k *desk) Ready(*workers.Mailbox) bool {
	s := k.l.public()
	d := s.out()
	return s.gone.Load() || d == nil || d.Ready(&k.unread)
}

// Drained implements workers.Owner.
//
//weir:any
func (k *desk) Drained(*workers.Mailbox) { k.l.client.Shard().Post(resumption{k}) }

// resumption is the task that reads a socket on whose mailbox has room again.
//
//weir:loop
type resumption struct{ k *desk }

// Run implements base.Task.
func (r resumption) Run() {
	if l := r.k.l; l.full && l.desk.Load() == r.k {
		l.full = false
		l.client.Resume()
	}
}

// answerBytes is what the budget counts for an answer that waits.
const answerBytes = 256

// later has f, which sends an answer of the loop's own making, run in turn with the socket's jobs: for a client that has yet to
// read those before.
//
//weir:loop
func (s *Socket) later(f func()) {
	s.loop().request(ownFunc{func(context.Context) { s.onItsLoop(f) }}, answerBytes)
}

// onItsLoop is post that waits for the end of f.
func (s *Socket) onItsLoop(f func()) {
	select {
	case <-s.post(f):
	case <-s.client.Shard().Done():
	}
}
