package weir

import "github.com/streamweir/weir/internal/guard"

// scarce is how few connections the descriptors may allow before the log warns of it.
const scarce = 4096

// measureRoom finds out how many clients there are descriptors for, some being kept for
// the server itself: probes and the management port answer also when it is full. It
// counts for servers without a ServerLimits.Connections of their own.
func (s *Server) measureRoom() {
	connections, limit := guard.Room(s.ownDescriptors())
	s.room = connections
	for _, d := range s.doors {
		if d.opts.Limits.Connections != 0 || connections == 0 {
			continue
		}
		args := []any{"descriptors", limit, "connections", connections}
		if connections < scarce {
			d.log.Warn("the limit of descriptors allows few connections; beyond them clients are refused with 503: raise it (ulimit -n, LimitNOFILE)", args...)
			continue
		}
		d.log.Info("connections are limited by descriptors alone", args...)
	}
}

// ownDescriptors are those the loops hold: the two epolls and the bell of each, and one of each
// open port's listening socket. The last are reckoned for every driver. Those of the journal come on top.
func (s *Server) ownDescriptors() int {
	each := 3
	for _, d := range s.doors {
		if d.opts.Addr != "" {
			each++
		}
	}
	return each*len(s.hub.Shards()) + s.disk.descriptors()
}

// crowded reports whether all descriptors that clients may have are taken.
func (s *Server) crowded() bool {
	if s.room == 0 {
		return false
	}
	all, _ := s.hub.Here()
	if all < s.room {
		return false
	}
	s.noRoom()
	return true
}

// noRoom logs once that clients are turned away for want of descriptors: sessions with 503, and connections, if those that
// have sent no request yet hold what is left, at once.
func (s *Server) noRoom() {
	s.fullOnce.Do(func() {
		all, _ := s.hub.Here()
		s.log.Warn("no room: the descriptors for clients are all taken, newcomers are refused with 503 or closed; raise the limit (ulimit -n, LimitNOFILE)",
			"connections", all)
	})
}
