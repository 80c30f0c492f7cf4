package delivery

import "github.com/streamweir/weir/internal/base"

// A socket finds its lanes by walking over them while they are few. One with many has
// a crowd: an index, and a count of the lanes that emits have made, of which there is
// a limit. Beyond it the empty ones are closed; if all hold something, the one that
// was sent nothing for longest, whose messages are dropped as overflow. A topic that
// refuses what is new (REJECT_NEW) has the new event refused instead.
const (
	crowdedAt    = 16
	maxEmitLanes = 256

	laneBytes = 128 + 8 // what the budget counts for a lane, apart from what is in it
)

//weir:loop
type crowd struct {
	index map[*Topic]*outLane
	emits int // lanes without a subscription
}

// crowd is nil while the lanes are few.
func (s *Socket) crowd() *crowd {
	if s.ties == nil {
		return nil
	}
	return s.ties.crowd
}

// lane returns the socket's lane of a topic, nil if it has none.
func (s *Socket) lane(t *Topic) *outLane {
	if c := s.crowd(); c != nil {
		return c.index[t]
	}
	for _, l := range s.lanes {
		if l.topic == t {
			return l
		}
	}
	return nil
}

// subscription returns the lane of a topic the socket subscribes to. A lane made
// by emits is not one; there may be several of a name, of topics forgotten since.
func (s *Socket) subscription(topic string) *outLane {
	if c := s.crowd(); c != nil {
		if l := c.index[s.Namespace.known(topic)]; l != nil && l.subscribed() {
			return l
		}
		return nil
	}
	for _, l := range s.lanes {
		if l.subscribed() && l.topic.Name == topic {
			return l
		}
	}
	return nil
}

func (s *Socket) subscriptions() (n int) {
	if c := s.crowd(); c != nil {
		return len(s.lanes) - c.emits
	}
	for _, l := range s.lanes {
		if l.subscribed() {
			n++
		}
	}
	return n
}

// openLane gives the socket a lane of topic t, which is not subscribed yet. Forms and
// the telling of losses are the subscription's; an emit uses the topic's defaults.
func (s *Socket) openLane(t *Topic, f base.Form, tell bool) *outLane {
	l := newTopicLane(s, t, f, tell)
	s.lanes = append(s.lanes, l)
	s.shard().structs += laneBytes
	s.Namespace.opened(t)
	switch c := s.crowd(); {
	case c != nil:
		c.index[t] = l
		c.emits++
	case len(s.lanes) > crowdedAt:
		s.gather()
	}
	l.wait()
	return l
}

// gather makes the crowd of a socket that has got many lanes.
func (s *Socket) gather() {
	c := &crowd{index: make(map[*Topic]*outLane, 2*crowdedAt)}
	for _, l := range s.lanes {
		c.index[l.topic] = l
		if !l.subscribed() {
			c.emits++
		}
	}
	s.tied().crowd = c
	sh := s.shard()
	if sh.crowds == nil {
		sh.crowds = make(map[*Socket]struct{})
	}
	sh.crowds[s] = struct{}{}
}

// enlist makes a lane that of a subscription, a member of its topic.
func (s *Socket) enlist(l *outLane, from uint64) {
	sh := s.shard()
	local := &l.topic.local[sh.index]
	l.from, l.member = from, int32(len(local.members))
	local.members = append(local.members, l)
	l.topic.subscribers.Add(1)
	l.topic.Declared.present.Add(1)
	sh.subscriptions.Add(1)
	if c := s.crowd(); c != nil {
		c.emits--
	}
}

// laneForEmit returns the lane for an event emitted under the name of topic t. It is
// nil if the event is refused.
func (s *Socket) laneForEmit(t *Topic) *outLane {
	l := s.lane(t)
	if l == nil {
		if c := s.crowd(); c != nil && c.emits >= maxEmitLanes && !s.makeRoom(t) {
			return nil
		}
		l = s.openLane(t, s.plain(), false)
	}
	if !l.subscribed() {
		l.from = uint64(s.shard().now) // when it was last used, for makeRoom
	}
	return l
}

// makeRoom closes lanes of emits so that there can be one of topic t.
func (s *Socket) makeRoom(t *Topic) bool {
	sh := s.shard()
	if s.closeIdle(sh.now) > 0 {
		return true
	}
	if c := s.conn; c.leaving == nil && !c.closed() && c.box.Window() > 0 { // as in offer: the loop has not come round yet
		c.write()
		sh.spent += writeCost
		if s.closeIdle(sh.now) > 0 {
			return true
		}
	}
	if t.Declared.Spec.Policy.Overflow == base.RejectNew {
		return false
	}
	var idlest *outLane
	for _, l := range s.lanes {
		if !l.subscribed() && (idlest == nil || l.from < idlest.from) {
			idlest = l
		}
	}
	s.dropLane(idlest, base.ReasonOverflow)
	return true
}

// closeIdle closes the empty lanes of emits that were last used at that time or before.
func (s *Socket) closeIdle(before int64) (n int) {
	for i := len(s.lanes) - 1; i >= 0; i-- {
		if l := s.lanes[i]; !l.subscribed() && l.Depth() == 0 && int64(l.from) <= before {
			s.dropLane(l, base.ReasonDisconnect)
			n++
		}
	}
	return n
}

// refuseEmit books an event that got no lane, where all lanes of its topic are added up.
func (s *Socket) refuseEmit(t *Topic) {
	l := newTopicLane(s, t, base.Plain, false)
	l.Refuse(base.ReasonRejected)
	l.End()
}

// dropLane closes a topic lane and takes it off the socket.
func (s *Socket) dropLane(l *outLane, r base.Reason) {
	for i := len(s.lanes) - 1; i >= 0; i-- {
		if s.lanes[i] == l {
			last := len(s.lanes) - 1
			s.lanes[i], s.lanes[last] = s.lanes[last], nil
			s.lanes = s.lanes[:last]
			break
		}
	}
	if c := s.crowd(); c != nil {
		delete(c.index, l.topic)
		if !l.subscribed() {
			c.emits--
		}
		if len(s.lanes) < crowdedAt/2 {
			s.ties.crowd = nil
			delete(s.shard().crowds, s)
			s.untie()
		}
	}
	sh := s.shard()
	sh.structs -= laneBytes
	sh.closeLane(l, r)
	s.Namespace.closed(l.topic)
}

// crowdSlice is how many lanes one sweep looks at.
const crowdSlice = 4096

// thin closes lanes that emits have made on sockets with many and that have not been
// used since the last sweep.
func (sh *Shard) thin(before int64) {
	looked := 0
	for s := range sh.crowds { // it begins anywhere, so each has its turn some time
		if looked >= crowdSlice {
			return
		}
		looked++
		if s.ties.crowd.emits > 0 {
			looked += len(s.lanes)
			s.closeIdle(before)
		}
	}
}
