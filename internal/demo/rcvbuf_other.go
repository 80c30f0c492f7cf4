//go:build !unix

package demo

import "syscall"

// shrinkReceiveBuffer leaves the buffer as it is: a stalled client then takes longer to fill its lane.
func shrinkReceiveBuffer(_, _ string, _ syscall.RawConn) error { return nil }
