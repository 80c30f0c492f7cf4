package swarm_test

import (
	"errors"
	"net"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/streamweir/weir/internal/loadtest/swarm"
)

func TestErrorsOfTheKernelAreNamed(t *testing.T) {
	for err, want := range map[error]string{
		os.NewSyscallError("connect", unix.EADDRNOTAVAIL): "address_in_use",
		os.NewSyscallError("connect", unix.ECONNREFUSED):  "refused",
		os.NewSyscallError("read", unix.ECONNRESET):       "reset",
		os.NewSyscallError("sendmsg", unix.EPIPE):         "reset",
		os.NewSyscallError("connect", unix.ETIMEDOUT):     "timeout",
		os.NewSyscallError("socket", unix.EMFILE):         "descriptors",
		os.NewSyscallError("connect", unix.EHOSTUNREACH):  "unreachable",
		os.NewSyscallError("connect", unix.ENOTCONN):      "ENOTCONN",
		errors.New("not of the kernel"):                   "",
	} {
		if got := swarm.KernelReason(err); got != want {
			t.Errorf("%v is %q, want %q", err, got, want)
		}
	}
}

func TestRunningOutOfDescriptorsIsAFailureOfTheRest(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // the kernel accepts, nobody else
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	h := gather(t, feed("http://"+silent.Addr().String()))

	const room, clients = 10, 50
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	scarce := limit
	scarce.Cur = uint64(freeDescriptor(t, room)) + 1
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &scarce); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			t.Error(err)
		}
	}()
	if err := h.Add(swarm.Group{Name: "g", Clients: clients}); err != nil {
		t.Fatal(err)
	}
	s := h.until("g", "some get in and the rest fail", func(s *swarm.Snapshot) bool { return s.Gone+s.Connecting == clients })
	if s.Failures["descriptors"] == 0 || int(s.Failures["descriptors"]) != s.Gone || s.Connecting > room {
		t.Errorf("%+v", *s)
	}
}

// freeDescriptor is the nth number that is free, from 1.
func freeDescriptor(t *testing.T, nth int) int {
	t.Helper()
	for fd := range 1 << 12 {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil {
			continue
		}
		if nth--; nth == 0 {
			return fd
		}
	}
	t.Fatal("no descriptor is free")
	return 0
}
