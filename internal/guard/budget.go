package guard

import (
	"github.com/KimMachineGun/automemlimit/memlimit"
)

// Budget is the memory budget in bytes an option stands for: a quarter of the
// cgroup's or the machine's memory for 0, since the collector may double what is
// held and the rest of the process lives too (architecture.md D9); none for a negative one.
func Budget(option int64) int64 {
	switch {
	case option > 0:
		return option
	case option < 0:
		return 0
	}
	least := uint64(4 << 30) // where neither is known
	known := false
	for _, limit := range []memlimit.Provider{memlimit.FromCgroup, memlimit.FromSystem} {
		if n, err := limit(); err == nil && n > 0 && (!known || n < least) { // a cgroup may be allowed more than there is
			least, known = n, true
		}
	}
	return int64(least / 4)
}
