//go:build !linux

package guard

import "errors"

// NiceSupported says whether WorkersOptions.Nice can be enforced here: only Linux gives every thread its own niceness.
const NiceSupported = false

func setThreadNice(int) error { return errors.ErrUnsupported }
