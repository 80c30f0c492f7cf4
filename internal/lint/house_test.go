package lint_test

import (
	"os"
	"testing"

	"github.com/streamweir/weir/internal/lint"
)

// TestHouse holds every rule over this module.
func TestHouse(t *testing.T) {
	tree, err := lint.Load(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	for _, rule := range lint.Rules() {
		t.Run(rule.Name, func(t *testing.T) {
			for _, finding := range rule.Check(tree) {
				t.Error(finding)
			}
		})
	}
}
