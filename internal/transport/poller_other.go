//go:build !linux

package transport

import (
	"errors"
	"time"

	"github.com/streamweir/weir/internal/base"
)

// Epoll says that this system does not have it.
const Epoll = false

// errNoEpoll is for callers that have not asked Epoll.
var errNoEpoll = errors.New("transport: epoll exists on Linux only")

// Poller is the epoll driver of one loop; there is none on this system.
type Poller struct{ Pressed func() bool }

// NewPoller returns a poller that cannot be opened.
func NewPoller(func() int64) *Poller { return &Poller{} }

// Open fails.
func (*Poller) Open(base.Loop) error { return errNoEpoll }

// Wait, Dispatch, Wake and Close are never reached: Open fails.

// Wait does nothing.
//
//weir:loop
func (*Poller) Wait(time.Duration, func() bool) {}

// Dispatch does nothing.
//
//weir:loop
func (*Poller) Dispatch() bool { return false }

// Wake does nothing.
func (*Poller) Wake() {}

// Rouse does nothing.
func (*Poller) Rouse() {}

// Close does nothing.
func (*Poller) Close() {}

func adopt(Upgraded, *Poller) (conn, error) { return nil, errNoEpoll }
