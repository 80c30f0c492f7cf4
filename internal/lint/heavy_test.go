package lint_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/streamweir/weir/internal/lint"
)

// deps are the import paths of all that a room needs.
func deps(t *testing.T, room string) []string {
	t.Helper()
	list := exec.Command("go", "list", "-deps", "./"+room)
	list.Dir = "../.."
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list -deps ./%s: %v", room, err)
	}
	return strings.Fields(string(out))
}

// What every embedder imports has no door of a heavy module, and no broker brings another's.
func TestHeavyModulesComeByTheirDoors(t *testing.T) {
	for _, room := range lint.Embedded() {
		all := deps(t, room)
		for _, w := range lint.Heavy() {
			if slices.ContainsFunc(all, func(d string) bool { return d == w.Module || strings.HasPrefix(d, w.Module+"/") }) {
				t.Errorf("who imports ./%s links %s: it may come in by %s only", room, w.Module, strings.Join(w.Doors, ", "))
			}
		}
	}
	for _, room := range []string{"cluster/redis", "cluster/nats"} {
		if heavy := lint.Linked(modulePath, deps(t, room)); len(heavy) > 0 {
			t.Errorf("who imports ./%s links %s", room, strings.Join(heavy, ", "))
		}
	}
}

func TestLinkedModulesAreFound(t *testing.T) {
	server := "github.com/nats-io/nats-server/v2/server"
	if got := lint.Linked("m", []string{"fmt", "m/cluster/nats", "github.com/nats-io/nats.go", server}); !slices.Equal(got, []string{"github.com/nats-io/nats-server"}) {
		t.Errorf("%q", got)
	}
	if got := lint.Linked("m", []string{"m/cluster/nats", "m/cluster/nats/embedded", "github.com/nats-io/nats.go", server}); len(got) > 0 {
		t.Errorf("%q", got)
	}
}
