package lane

// Open appends the offsets of the messages that the lane holds and whose way is not over: those that wait, and of a
// reliable lane those that are not acknowledged. Best effort, what is being written is not among them: it is sent once.
// They are in no order.
func (l *Lane) Open(dst []uint64) []uint64 {
	if l.window != nil {
		for k := range l.window.n {
			if f := &l.window.slots[l.window.index(k)]; f.state != flightHole {
				dst = append(dst, f.item.Msg.Offset)
			}
		}
	}
	if l.queue != nil {
		for p := l.queue.head; p != l.queue.tail; p++ {
			dst = append(dst, l.queue.at(p).item.Msg.Offset)
		}
	}
	return dst
}
