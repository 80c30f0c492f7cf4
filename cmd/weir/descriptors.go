package main

import (
	"fmt"
	"log/slog"

	"github.com/streamweir/weir/cmd/weir/internal/doctor"
)

// descriptorLimits are how many descriptors the process may have open: Soft now, Hard at most.
type descriptorLimits struct{ Soft, Hard uint64 }

// openDescriptors raises the soft limit to the hard one and logs both. The Go runtime does the same by itself where it
// can; that no client is refused for the want of it is not left to that.
func openDescriptors(log *slog.Logger) descriptorLimits {
	l, err := raiseDescriptors()
	if err != nil {
		log.Warn("the soft limit of descriptors stays as it is", "error", err)
	}
	log.Info("descriptors", "soft", l.Soft, "hard", l.Hard)
	return l
}

// admits refuses more connections than there can be descriptors for, own being those of the loops. Where the limits are
// not known (0) it admits all.
func (l descriptorLimits) admits(connections, own int) error {
	reserve := uint64(doctor.Reserve + own)
	want := uint64(connections) + reserve
	if connections == 0 || l.Hard == 0 || want <= l.Hard {
		return nil
	}
	return fmt.Errorf("limits.maxConnections: %d connections need %d descriptors, and the hard limit of this process is %d: raise it "+
		"(LimitNOFILE=%d in the systemd unit, --ulimit nofile=%d for Docker, ulimit -n %d as root) or lower limits.maxConnections to %d",
		connections, want, l.Hard, want, want, want, max(l.Hard, reserve)-reserve)
}
