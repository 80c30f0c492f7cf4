package doctor

import "fmt"

// segment is what the kernel may hold for a client besides TCP_NOTSENT_LOWAT: what was sent and is not acknowledged
// (promise P2).
const segment = 64 << 10

// stalledShare: a tenth of the clients stalled is what the others must not notice (promise P3).
const stalledShare = 10

// longestLowat is above which a slow client is cut by its heartbeat, behind its own data: at 16 KiB most of those that
// read 1 KiB/s were, at 4 KiB none.
const longestLowat = 16 << 10

// heldStalled is how many bytes of kernel memory a client that has stopped reading holds.
func (m Machine) heldStalled(n Needs) int64 {
	if n.NotSentLowat > 0 {
		return int64(n.NotSentLowat) + segment
	}
	if wmem, err := m.numbers(sysctl("net.ipv4.tcp_wmem"), 3); err == nil {
		return wmem[2]
	}
	return 4 << 20 // Linux's own
}

// tcpMemory compares the memory the kernel gives to all TCP sockets with what stalled clients hold.
func tcpMemory(m Machine, n Needs) Finding {
	const name = "net.ipv4.tcp_mem"
	each := m.heldStalled(n)
	all := int64(n.Connections) * each
	some := all / stalledShare
	pages := func(bytes int64) int64 { return (bytes + m.PageSize - 1) / m.PageSize }
	f := Finding{
		Name:   name,
		Wanted: fmt.Sprintf("%s, for all %s stalled; at the very least %s, for a tenth", size(all), count(n.Connections), size(some)),
		Why: fmt.Sprintf("A client that stops reading holds %s in the kernel. Above the second number the kernel shrinks everybody's "+
			"buffers, above the third it refuses memory to all sockets of the machine: healthy clients stall with the slow. The unit is pages of %s.",
			size(each), size(m.PageSize)),
		Fix: setSysctl(name, fmt.Sprintf("%d %d %d", pages(all/2), pages(all/4*3), pages(all))),
	}
	mem, err := m.numbers(sysctl(name), 3)
	if err != nil {
		return f.unknown(err)
	}
	machine, err := m.meminfo("MemTotal")
	if err != nil {
		return f.unknown(err)
	}
	found := fmt.Sprintf("%d %d %d: presses at %s, refuses at %s", mem[0], mem[1], mem[2], size(mem[1]*m.PageSize), size(mem[2]*m.PageSize))
	switch {
	case all > machine:
		f.Fix = "more memory, fewer connections on this machine, or a lower notSentLowatBytes"
		return f.at(minLevel(n.worst(), mem[2] >= pages(some)), "%s; the machine has %s in all", found, size(machine))
	case mem[2] < pages(some):
		return f.at(n.worst(), "%s", found)
	case mem[2] < pages(all), mem[1] < pages(some):
		return f.at(Warn, "%s", found)
	case mem[2] >= pages(machine):
		return f.at(Warn, "%s: more than the machine has, %s, so it refuses nothing", found, size(machine))
	}
	return f.at(OK, "%s", found)
}

// minLevel is Warn where the worst is avoided.
func minLevel(worst Level, avoided bool) Level {
	if avoided {
		return Warn
	}
	return worst
}

// leastSendBuffer is what a link of 10 Mbit/s and 200 ms has under way.
const leastSendBuffer = 256 << 10

// tcpSendBuffer looks at the bounds of a socket's send buffer.
func tcpSendBuffer(m Machine, _ Needs) Finding {
	const name = "net.ipv4.tcp_wmem"
	f := Finding{
		Name:   name,
		Wanted: fmt.Sprintf("a third number of %d or more", leastSendBuffer),
		Why: "The third number bounds what is under way to one client; below the product of its bandwidth and delay, far clients " +
			"are slow for no reason. A large one costs nothing: TCP_NOTSENT_LOWAT keeps what is not under way out of the kernel.",
		Fix: setSysctl(name, "4096 16384 4194304"),
	}
	wmem, err := m.numbers(sysctl(name), 3)
	if err != nil {
		return f.unknown(err)
	}
	found := fmt.Sprintf("%d %d %d", wmem[0], wmem[1], wmem[2])
	if wmem[2] < leastSendBuffer {
		return f.at(Warn, "%s", found)
	}
	return f.at(OK, "%s", found)
}

// notSent looks at how much unsent data the kernel takes from a lane: Weir sets it for each socket.
func notSent(m Machine, n Needs) Finding {
	const name = "net.ipv4.tcp_notsent_lowat"
	f := Finding{
		Name:   name,
		Wanted: fmt.Sprintf("notSentLowatBytes from 1 to %d; the system's own does not matter then", longestLowat-1),
		Why: "What the kernel has taken no policy can drop or replace: without this bound a stalled client holds megabytes of old " +
			"messages, and a slow one is cut by its heartbeat behind its own data.",
		Fix: "servers.NAME.notSentLowatBytes: 4096",
	}
	system, err := m.number(sysctl(name))
	own := count(system)
	switch {
	case err != nil:
		own = "unknown" // as in the network namespaces of containers
	case system >= 1<<31-1:
		own = "no bound"
	}
	switch {
	case n.NotSentLowat == 0 && err != nil:
		return f.unknown(err)
	case n.NotSentLowat == 0 && system >= longestLowat:
		return f.at(Warn, "notSentLowatBytes 0 leaves it to the system: %s", own)
	case n.NotSentLowat == 0:
		return f.at(OK, "notSentLowatBytes 0 leaves it to the system: %s", own)
	case n.NotSentLowat >= longestLowat:
		return f.at(Warn, "notSentLowatBytes %s (system: %s)", count(n.NotSentLowat), own)
	}
	return f.at(OK, "notSentLowatBytes %s (system: %s)", count(n.NotSentLowat), own)
}
