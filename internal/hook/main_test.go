package hook_test

import (
	"testing"

	"github.com/streamweir/weir/internal/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }
