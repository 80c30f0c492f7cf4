package transport

// deadlines are descriptors that have the same time from when they are added: a queue, in order by itself. Who is done
// earlier stays in it until its time has come, and is passed over then.
type deadlines struct {
	after  int64 // nanoseconds
	queue  []deadline
	expire func(fd int, gen uint32)
}

type deadline struct {
	at  int64
	fd  int32
	gen uint32
}

func (d *deadlines) add(now int64, fd int, gen uint32) {
	d.queue = append(d.queue, deadline{now + d.after, int32(fd), gen})
}

// first is the earliest time.
func (d *deadlines) first() (at int64, ok bool) {
	if len(d.queue) == 0 {
		return 0, false
	}
	return d.queue[0].at, true
}

// advance expires what is due and reports whether anything was.
func (d *deadlines) advance(now int64) (any bool) {
	for len(d.queue) > 0 && d.queue[0].at <= now {
		due := d.queue[0]
		d.queue = d.queue[1:]
		d.expire(int(due.fd), due.gen)
		any = true
	}
	if len(d.queue) == 0 {
		d.queue = nil
	}
	return any
}
