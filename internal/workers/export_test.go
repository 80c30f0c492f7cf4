package workers

// Submit runs one job as a mailbox of its own does.
func (w *Pool) Submit(job Job) error {
	m := new(Mailbox)
	m.Init(w, &MailboxLimits{}, nil)
	switch m.Push(job, 0) {
	case Refused:
		return ErrClosed
	case NoRoom:
		return ErrFull
	}
	return nil
}
