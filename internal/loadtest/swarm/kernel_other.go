//go:build !linux

package swarm

import (
	"errors"
	"time"
)

var errNotHere = errors.New("the load tool needs epoll: it runs on Linux only")

func machineNanos() int64 { return clockEpoch.UnixNano() }

func threadTime() time.Duration { return 0 }

type poller struct{}

func newPoller() (*poller, error)                                         { return nil, errNotHere }
func (*poller) close()                                                    {}
func (*poller) wake()                                                     {}
func (*poller) add(int, int, int, interest) error                         { return errNotHere }
func (*poller) change(int, int, int, interest) error                      { return errNotHere }
func (*poller) wait(int64, func(group, client int, what readiness)) error { return errNotHere }

type endpoint struct{}

func resolve(string) (*endpoint, error)               { return nil, errNotHere }
func (*endpoint) loopback() bool                      { return false }
func (*endpoint) connect(int, int) (int, bool, error) { return -1, false, errNotHere }
func pendingError(int) error                          { return errNotHere }
func readSocket(int, []byte) (int, error)             { return 0, errNotHere }
func writeSocket(int, []byte) (int, error)            { return 0, errNotHere }
func closeSocket(int)                                 {}
func resetSocket(int)                                 {}
func kernelReason(error) string                       { return "" }
