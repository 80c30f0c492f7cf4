package lint

import "strings"

// Heavy are modules that not every embedder needs: who does not import one of its doors does not link it.
func Heavy() []Weight {
	return []Weight{
		{Module: "github.com/redis/rueidis", Doors: []string{"cluster/redis"}},
		{Module: "github.com/nats-io/nats.go", Doors: []string{"cluster/nats"}},
		{Module: "github.com/nats-io/nats-server", Doors: []string{"cluster/nats/embedded"}},
	}
}

// Weight is a module, and the rooms by which it comes in.
type Weight struct {
	Module string
	Doors  []string
}

// Embedded are the packages of this module that embedders import for what every server has.
func Embedded() []string { return []string{".", "weirtest", "cluster", "cluster/clustertest"} }

// Linked returns the heavy modules that are linked together with a room, of which deps are the import paths of all that it
// needs, without having come in by one of its doors.
func Linked(module string, deps []string) (heavy []string) {
	here := make(map[string]bool)
	for _, d := range deps {
		here[d] = true
	}
	for _, w := range Heavy() {
		invited := false
		for _, door := range w.Doors {
			invited = invited || here[module+"/"+door]
		}
		for _, d := range deps {
			if !invited && (d == w.Module || strings.HasPrefix(d, w.Module+"/")) {
				heavy = append(heavy, w.Module)
				break
			}
		}
	}
	return heavy
}
