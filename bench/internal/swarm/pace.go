package swarm

import "time"

// pace keeps a reader at a rate, without letting it catch up on what it did not use.
type pace struct {
	perByte time.Duration // 0 = no bound
	next    time.Time
}

func newPace(bytesPerSecond int) pace {
	if bytesPerSecond <= 0 {
		return pace{}
	}
	return pace{perByte: time.Second / time.Duration(bytesPerSecond)}
}

// took waits until n bytes just read were due.
func (p *pace) took(n int) {
	if p.perByte == 0 {
		return
	}
	if now := time.Now(); p.next.Before(now) {
		p.next = now
	}
	p.next = p.next.Add(time.Duration(n) * p.perByte)
	time.Sleep(time.Until(p.next))
}
