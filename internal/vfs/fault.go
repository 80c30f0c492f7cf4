package vfs

import (
	"errors"
	"io/fs"
	"syscall"
)

// Fault is what is wrong with a disk, as far as an error of it tells.
type Fault uint8

// The faults.
const (
	Failing  Fault = iota // none of the others: mostly an error of the device
	Full                  // no space, or a quota is used up
	ReadOnly              // the file system takes nothing, as after an error of its device
	Gone                  // the directory, or what it is on, is not there any more
)

// FaultOf tells the fault that an error is of.
func FaultOf(err error) Fault {
	is := func(all ...error) bool {
		for _, e := range all {
			if errors.Is(err, e) {
				return true
			}
		}
		return false
	}
	switch {
	case is(syscall.ENOSPC, syscall.EDQUOT):
		return Full
	case is(syscall.EROFS):
		return ReadOnly
	case is(fs.ErrNotExist, syscall.ENODEV, syscall.ENXIO, syscall.ESTALE, syscall.ENOTCONN, syscall.ENOTDIR):
		return Gone
	}
	return Failing
}
