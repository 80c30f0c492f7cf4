//go:build !linux

package workers

import (
	"errors"
	"os"
	"time"
)

// NiceSupported says whether Options.Nice can be enforced here: only Linux gives every thread its own niceness.
const NiceSupported = false

func setThreadNice(int) error { return errors.ErrUnsupported }

func threadID() int { return 0 }

func openStatus() *os.File { return nil }

func asleep(int, *os.File) (asleep, known bool) { return false, false }

func threadTime(int) time.Duration { return 0 }
