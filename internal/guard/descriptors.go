package guard

import "math"

// reservedDescriptors are kept for the server itself: listeners, loops, the management port, probes, logs. Where there are
// few it is half of them at most.
const reservedDescriptors = 64

// Room is how many connections the descriptors of the process allow when loops of them are the server's own, and the limit
// that follows from; 0 for no limit that is known.
func Room(loops int) (connections, limit int) {
	soft := openFiles()
	if soft == 0 || soft > math.MaxInt32 {
		return 0, 0
	}
	limit = int(soft)
	reserve := reservedDescriptors + 2*loops // each loop has its epoll and its bell
	return max(1, limit-min(reserve, limit/2)), limit
}

// Ceiling is the lowest number of a descriptor that no client's connection may have; 0 for none. The kernel gives the
// lowest number that is free, so a higher one says how many are open, whoever holds them. It is above Room, so that those
// beyond Room can be answered, and leaves the rest to the server itself.
func Ceiling(loops int) int {
	connections, limit := Room(loops)
	return limit - min(reservedDescriptors/2, (limit-connections)/2)
}
