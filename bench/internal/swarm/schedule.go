package swarm

import "time"

// Schedule is an open loop: message n is due at Start + n/Rate, whatever became of those before it, and its age counts
// from then. A publisher that is held up sends what has become due at once; it never leaves a message out.
type Schedule struct {
	Epoch time.Time     // what Message.At counts from
	Start time.Duration // since Epoch
	Rate  float64       // messages a second
	Total int
	Size  int // bytes of a payload
}

// Due is when message n is to be sent.
func (s Schedule) Due(n int) time.Duration {
	return s.Start + time.Duration(float64(n)/s.Rate*float64(time.Second))
}

// Publish sends all messages through c and returns by how much the latest of them was late.
func (s Schedule) Publish(c *Client, t Topic) (late time.Duration, err error) {
	var text []byte
	for n := range s.Total {
		due := s.Due(n)
		time.Sleep(time.Until(s.Epoch.Add(due)))
		text = t.AppendPublish(text[:0], Message{N: n, At: due}, s.Size)
		if err := c.Write(text); err != nil {
			return late, err
		}
		late = max(late, time.Since(s.Epoch)-due)
	}
	return late, nil
}
