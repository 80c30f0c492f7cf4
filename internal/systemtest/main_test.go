package systemtest_test

import (
	"fmt"
	"net/http"
	"os"
	"testing"

	"github.com/streamweir/weir/internal/leaks"
)

// module is its root, where these tests run: they read the documents, and build programs.
const module = "../.."

// TestMain fails the package if any test leaves a goroutine behind.
func TestMain(m *testing.M) {
	if err := os.Chdir(module); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	leaks.Main(m, http.DefaultClient.CloseIdleConnections)
}
