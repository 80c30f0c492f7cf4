package doctor

import (
	"net/http"
	"time"

	"github.com/streamweir/weir"
	"github.com/streamweir/weir/internal/config"
)

// NeedsFrom is NeedsOf with settings that no configuration of this version has.
func NeedsFrom(o weir.Options, settings []config.Setting) Needs { return needsOf(o, settings) }

// MemoryOf is the memory of the cgroup or the machine, whichever is less.
func MemoryOf(m Machine) (int64, error) {
	total, err := m.meminfo("MemTotal")
	if err != nil {
		return 0, err
	}
	most, _, err := m.memoryLimits()
	return min(most, total), err
}

// JudgeAnswersAfter is what doctor says of a proxy whose answers are right and take a while.
func JudgeAnswersAfter(took time.Duration) []Finding {
	slow := answer{status: http.StatusOK, took: took}
	return []Finding{
		judgeUpgrade(answer{status: http.StatusSwitchingProtocols, took: took}, "feed"),
		judgePolling(polled{open: slow, wait: slow, post: answer{status: http.StatusOK}}),
	}
}

// ErrNoAnswer is what a trial says of a disk that hangs.
var ErrNoAnswer = errNoAnswer
