package lint

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// syscallFiles are the only files that may talk to the kernel past package net and os, with why.
var syscallFiles = []string{
	"internal/transport/*_linux.go", // epoll, TCP_NOTSENT_LOWAT, TCP_INFO, unsent bytes
	"internal/transport/*_unix.go",  // socket options where there is no epoll
	"internal/transport/*_linux_test.go",
	"internal/transport/*_unix_test.go",
	"internal/guard/descriptors_*.go",    // RLIMIT_NOFILE, for how many clients there is room
	"internal/workers/thread_linux.go",   // setpriority of the workers' threads (architecture.md D8)
	"internal/workers/*_linux_test.go",   // and takes the descriptors away
	"internal/peer/rcvbuf_*.go",          // SO_RCVBUF before connect
	"internal/loadtest/swarm/*_linux.go", // the load tool's own epoll, clock and sockets
	"internal/loadtest/swarm/*_linux_test.go",
	"internal/loadtest/descriptors_*.go",              // RLIMIT_NOFILE of the load tool
	"bench/floor/*_linux.go",                          // the bare system calls that a server is compared with
	"internal/vfs/os_linux.go",                        // flock, fdatasync, statfs
	"internal/vfs/fault.go",                           // names of errors only: which of them say full, read-only, gone
	"internal/vfs/fault_test.go",                      // the same
	"internal/vfs/memfs/memfs.go",                     // the same: a disk in memory fails as a real one does
	"internal/journal/realdisk_linux_test.go",         // file systems of its own: mount, what a full and a read-only one say
	"internal/delivery/realdisk_linux_test.go",        // the same
	"cmd/weir/internal/doctor/*_linux.go",             // limits and clocks of the machine
	"cmd/weir/descriptors_*.go",                       // RLIMIT_NOFILE at start
	"internal/systemtest/drivers_leaks_linux_test.go", // a child process with few descriptors
}

// rawSyscalls keeps system calls in the files listed above. The names of signals (syscall.SIGTERM) are not calls and
// may be used anywhere.
func rawSyscalls() Rule {
	return Rule{
		Name:   "raw system calls",
		Remedy: "call through internal/transport, or use os and net; a new file is listed with its reason in internal/lint/syscall.go",
		check: func(t *Tree, report reporter) {
			for _, f := range t.Files {
				if slices.ContainsFunc(syscallFiles, matches(f.Path)) {
					continue
				}
				for spec, importPath := range f.imports() {
					if kernel(importPath) && !onlySignals(f, importPath) {
						report(spec.Pos(), fmt.Sprintf("import of %s", importPath))
					}
				}
			}
		},
	}
}

func matches(name string) func(pattern string) bool {
	return func(pattern string) bool {
		ok, err := path.Match(pattern, name)
		return ok && err == nil
	}
}

func kernel(importPath string) bool {
	switch importPath {
	case "syscall", "golang.org/x/sys/unix", "golang.org/x/sys/windows":
		return true
	}
	return false
}

// onlySignals reports whether f uses package syscall for nothing but the names of signals.
func onlySignals(f *File, importPath string) bool {
	if local := f.localName(importPath); importPath != "syscall" || local == "_" || local == "." {
		return false
	}
	for sel := range f.uses(f.syntax, importPath) {
		if !strings.HasPrefix(sel.Sel.Name, "SIG") {
			return false
		}
	}
	return true
}
