package loadtest_test

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"testing"

	"github.com/streamweir/weir/internal/leaks"
	"github.com/streamweir/weir/internal/loadtest"
)

// TestMain is also the agents of fleets: they are this program, started once more.
func TestMain(m *testing.M) {
	if slices.Equal(os.Args[1:], loadtest.AgentCommand) {
		if err := loadtest.RunAgent(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	leaks.Main(m, http.DefaultClient.CloseIdleConnections)
}
