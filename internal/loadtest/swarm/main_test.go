package swarm_test

import (
	"testing"

	"github.com/streamweir/weir/internal/leaks"
)

// TestMain fails the package if any test leaves a goroutine behind.
func TestMain(m *testing.M) { leaks.Main(m) }
