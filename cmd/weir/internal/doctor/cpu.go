package doctor

import (
	"fmt"
	"math"
	"strconv"
)

// cpu compares the CPUs Go will use with the quota of the cgroup.
func cpu(m Machine, _ Needs) Finding {
	f := Finding{
		Name:   "cpu",
		Wanted: "at least one CPU, GOMAXPROCS not above the quota",
		Why: "A cgroup that has used up its quota stands still for the rest of the period, up to 100 ms: every client waits. Weir " +
			"runs one event loop for each CPU that GOMAXPROCS says, by itself the quota rounded up and at least 2, and as many threads for handlers.",
	}
	cpus, err := m.cpus()
	if err != nil {
		return f.unknown(err)
	}
	quota, err := m.quota()
	if err != nil {
		return f.unknown(err)
	}
	set, asked, err := m.environment("GOMAXPROCS")
	if err != nil {
		return f.unknown(err)
	}
	procs, err := strconv.Atoi(set)
	asked = asked && err == nil && procs > 0 // what Go takes; anything else is its own choice
	if quota == 0 {
		f.Fix = fmt.Sprintf("unset GOMAXPROCS, or GOMAXPROCS=%d", cpus)
		if asked && procs > cpus {
			return f.at(Warn, "GOMAXPROCS %d on %s", procs, counted(cpus, "CPU"))
		}
		return f.at(OK, "%s, no quota", counted(cpus, "CPU"))
	}
	found := fmt.Sprintf("a quota of %.4g of %s", quota, counted(cpus, "CPU"))
	share, err := m.throttled()
	whole := max(int(math.Ceil(quota)), 2) // what Go takes by itself
	switch {
	case asked && procs > whole:
		f.Fix = "unset GOMAXPROCS: Go takes the quota"
		return f.at(Warn, "GOMAXPROCS %d with %s", procs, found)
	case quota < 1:
		f.Fix = "give it a CPU: CPUQuota=100% in the unit, --cpus 1 for Docker, or no limit"
		return f.at(Warn, "%s", found)
	case err != nil:
		return f.at(Unknown, "%s; whether it was ever used up: %v", found, err)
	case share > 0.01:
		f.Fix = "a higher quota, or none: CPUQuota= in the unit, --cpus for Docker, resources.limits.cpu for Kubernetes"
		return f.at(Warn, "%s, used up in %.0f %% of the periods", found, 100*share)
	}
	return f.at(OK, "%s", found)
}

// CPUs is how many CPUs the machine, or a quota of its cgroup, gives a process: at least 1; 0 if it does not say.
func (m Machine) CPUs() int {
	cpus, err := m.cpus()
	if err != nil {
		return 0
	}
	if quota, err := m.quota(); err == nil && quota > 0 {
		cpus = min(cpus, int(math.Ceil(quota)))
	}
	return max(cpus, 1)
}

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return count(n) + " " + noun + "s"
}
