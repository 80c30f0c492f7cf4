package doctor

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// What a connection costs when nothing waits for it, in bytes: 9.6 KB of RSS with the goroutine driver (8,000 idle
// websockets), rounded up, and the kernel's socket.
const (
	userPerConnection   = 12 << 10
	kernelPerConnection = 5 << 10
)

// goShare is how much of the cgroup's memory serve lets the collector fill.
const goShare = 0.9

// available is the memory there is: the cgroup's, if that is less than the machine's.
func (m Machine) available() (bytes int64, from string, err error) {
	total, err := m.meminfo("MemTotal")
	if err != nil {
		return 0, "", err
	}
	limit, high, err := m.memoryLimits()
	if err != nil {
		return 0, "", err
	}
	if limit = min(limit, high); limit < total {
		return limit, "the cgroup", nil
	}
	return total, "the machine", nil
}

// memory adds up what the connections, the budget and the kernel's buffers need. Since the kernel counts its buffers
// against the cgroup too, all of it must fit there.
func memory(m Machine, n Needs) Finding {
	idle := int64(n.Connections) * (userPerConnection + kernelPerConnection)
	f := Finding{
		Name: "memory",
		Why: fmt.Sprintf("%s: about %d KiB each, idle. The budget for what waits counts twice, since the collector may "+
			"let it double; a tenth of the clients stalled holds kernel memory besides.", counted(n.Connections, "connection"), (userPerConnection+kernelPerConnection)>>10),
	}
	have, from, err := m.available()
	if err != nil {
		return f.unknown(err)
	}
	budget := n.BudgetBytes
	if budget == 0 {
		budget = have / 4
	}
	stalled := int64(n.Connections) / stalledShare * m.heldStalled(n)
	want := idle + stalled + 2*max(budget, 0)
	f.Wanted = fmt.Sprintf("%s: %s of connections, 2 x %s of memory.budgetBytes, %s for the stalled",
		size(want), size(idle), size(max(budget, 0)), size(stalled))
	f.Fix = fmt.Sprintf("give it %s (MemoryMax= in the unit, --memory for Docker), or fewer connections, or a lower memory.budgetBytes", size(want))
	found := fmt.Sprintf("%s of %s", size(have), from)
	switch {
	case idle > have:
		return f.at(n.worst(), "%s: not enough for idle connections alone", found)
	case budget > have:
		return f.at(Fail, "%s: the budget is larger, so it would never hold anything back", found)
	case budget < 0:
		f.Fix = "memory.budgetBytes: 0, a quarter of the memory"
		return f.at(Warn, "%s, and memory.budgetBytes -1: nothing bounds what waits", found)
	case want > have:
		return f.at(Warn, "%s", found)
	}
	return f.at(OK, "%s", found)
}

// goMemory compares GOMEMLIMIT with the memory of the cgroup.
func goMemory(m Machine, n Needs) Finding {
	f := Finding{
		Name:   "GOMEMLIMIT",
		Wanted: "unset: serve sets it to 90 % of the cgroup's memory",
		Why:    "Above it the collector works harder. Without it, or with one above the cgroup's memory, the kernel kills the process instead.",
		Fix:    "unset GOMEMLIMIT AUTOMEMLIMIT",
	}
	limit, high, err := m.memoryLimits()
	if err != nil {
		return f.unknown(err)
	}
	set, isSet, err := m.environment("GOMEMLIMIT")
	if err != nil {
		return f.unknown(err)
	}
	auto, isAuto, err := m.environment("AUTOMEMLIMIT")
	if err != nil {
		return f.unknown(err)
	}
	if isSet {
		return judgeGoMemory(f, n, set, min(limit, high))
	}
	if total, err := m.meminfo("MemTotal"); err != nil {
		return f.unknown(err)
	} else if min(limit, high) > total {
		return f.at(OK, "unset, and the cgroup has no limit below the machine's memory")
	}
	share := goShare
	if isAuto {
		if share, err = strconv.ParseFloat(auto, 64); err != nil || !(share > 0 && share <= 1) {
			return f.at(Warn, "AUTOMEMLIMIT=%s: serve sets none", auto)
		}
	}
	own := int64(noLimit) // what serve sets
	if limit != noLimit {
		own = int64(share * float64(limit))
	}
	if high < own {
		f.Fix = fmt.Sprintf("GOMEMLIMIT=%d, or MemoryHigh=infinity in the unit", int64(goShare*float64(high)))
		return f.at(Warn, "unset, and the cgroup is slowed down from memory.high on, %s: serve goes by memory.max", size(high))
	}
	return f.at(OK, "unset: serve sets %s of %s", size(own), size(limit))
}

// judgeGoMemory is for a GOMEMLIMIT that was set.
func judgeGoMemory(f Finding, n Needs, set string, limit int64) Finding {
	bytes, ok := goBytes(set)
	switch {
	case !ok:
		return f.at(Unknown, "GOMEMLIMIT=%s is not one of Go's", set)
	case limit != noLimit && float64(bytes) > goShare*float64(limit):
		return f.at(Warn, "GOMEMLIMIT=%s, the cgroup has %s", set, size(limit))
	case bytes < n.BudgetBytes:
		return f.at(Warn, "GOMEMLIMIT=%s is below memory.budgetBytes, %s: the collector would never rest", set, size(n.BudgetBytes))
	}
	return f.at(OK, "GOMEMLIMIT=%s", set)
}

// goBytes reads a value of GOMEMLIMIT as package runtime does.
func goBytes(text string) (int64, bool) {
	if text == "off" {
		return math.MaxInt64, true
	}
	digits, shift := text, 0
	for i, unit := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if rest, ok := strings.CutSuffix(text, unit); ok {
			digits, shift = rest, 10*(i+1)
		}
	}
	if shift == 0 {
		digits = strings.TrimSuffix(text, "B")
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	return n << shift, err == nil && n >= 0 && n <= math.MaxInt64>>shift
}

// swap looks whether what waits for clients may be written to disk.
func swap(m Machine, _ Needs) Finding {
	f := Finding{
		Name:   "swap",
		Wanted: "none for the server, or vm.swappiness at most 10",
		Why:    "The collector touches all of the heap in each cycle, the event loops all lanes: one page that was swapped out holds up everybody on its loop.",
		Fix:    "MemorySwapMax=0 in the unit, as in deploy/weir.service, or: " + setSysctl("vm.swappiness", "1"),
	}
	total, err := m.meminfo("SwapTotal")
	if err != nil {
		return f.unknown(err)
	}
	if total == 0 {
		return f.at(OK, "none")
	}
	g, err := m.cgroup("memory")
	if err != nil {
		return f.unknown(err)
	}
	if g.v2 {
		if most, err := g.least(m, "memory.swap.max"); err == nil && most == 0 {
			return f.at(OK, "%s, none of it for this cgroup", size(total))
		}
	}
	eager, err := m.number(sysctl("vm.swappiness"))
	if err != nil {
		return f.unknown(err)
	}
	if eager > 10 {
		return f.at(Warn, "%s, vm.swappiness %d", size(total), eager)
	}
	return f.at(OK, "%s, vm.swappiness %d", size(total), eager)
}
