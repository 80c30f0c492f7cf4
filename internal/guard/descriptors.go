package guard

import "math"

// reservedDescriptors are kept for what the server opens as it runs: the management port, probes, logs. Where there are
// few it is half of what the loops leave, at most.
const reservedDescriptors = 64

// Room is how many connections the descriptors of the process allow when the loops hold own of them, and the limit that
// follows from; 0 for no limit that is known.
func Room(own int) (connections, limit int) {
	connections, _, limit = share(own)
	return connections, limit
}

// Ceiling is the lowest number of a descriptor that no client's connection may have; 0 for none. The kernel gives the
// lowest number that is free, so a higher one says how many are open in all. The ceiling is above Room and own
// together, so that those beyond Room can be answered, and leaves the rest to the server itself.
func Ceiling(own int) int {
	_, reserve, limit := share(own)
	return limit - reserve/2
}

// share divides what the loops leave. Their own descriptors are open before any client's, so they come off the whole.
func share(own int) (connections, reserve, limit int) {
	soft := openFiles()
	if soft == 0 || soft > math.MaxInt32 {
		return 0, 0, 0
	}
	limit = int(soft)
	left := max(limit-own, 0)
	reserve = min(reservedDescriptors, left/2)
	return max(1, left-reserve), reserve, limit
}
