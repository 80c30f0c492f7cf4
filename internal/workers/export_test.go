package workers

import "errors"

// ErrClosed says that a job came after Close.
var ErrClosed = errors.New("workers are closed")

// Submit runs one job as a mailbox of its own does.
func (w *Pool) Submit(job Job) error {
	m := new(Mailbox)
	m.Init(w, &MailboxLimits{}, nil)
	if m.Push(job, 0) == Refused {
		return ErrClosed
	}
	return nil
}
