package guard

import "errors"

// ErrWorkersClosed says that a job came after Close.
var ErrWorkersClosed = errors.New("workers are closed")

// Submit runs one job as a mailbox of its own does.
func (w *Workers) Submit(job Job) error {
	m := new(Mailbox)
	m.Init(w, &MailboxLimits{}, nil)
	if m.Push(job, 0) == Refused {
		return ErrWorkersClosed
	}
	return nil
}
