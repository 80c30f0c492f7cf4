package weir

import (
	"github.com/KimMachineGun/automemlimit/memlimit"
)

// budget is the memory budget in bytes an option stands for: a quarter of the
// cgroup's or the machine's memory for 0, since the collector may double what is
// held and the rest of the process lives too (design D9); none for a negative one.
func budget(option int64) int64 {
	switch {
	case option > 0:
		return option
	case option < 0:
		return 0
	}
	for _, limit := range []memlimit.Provider{memlimit.FromCgroup, memlimit.FromSystem} {
		if n, err := limit(); err == nil && n > 0 {
			return int64(n / 4)
		}
	}
	return 1 << 30
}
