package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/streamweir/weir/internal/vfs"
)

// Disk is what is known of a directory.
type Disk struct {
	Writable   bool  // by who asks
	ReadOnly   bool  // its file system takes no writes from anybody
	Free       int64 // bytes that are left
	Held       int64 // bytes of the files in it
	FileSystem string
	Exposed    vfs.Exposed // what in it others than its owner may get at
}

// leastFree is how little space breaks a journal whatever its limit: one segment and what a file system keeps back.
const leastFree = 64 << 20

// journal looks at the directory of the journal: it must be there, writable, on a disk, with room for all it may hold.
func journal(m Machine, n Needs) Finding {
	f := Finding{
		Name:   "journal",
		Wanted: "none",
		Why:    "Topics that spill, keep history or survive a restart are written to journal.path. A full disk makes their publishes fail.",
	}
	if n.Journal.Path == "" {
		return f.at(OK, "no journal is configured")
	}
	path := n.Journal.Path
	f.Wanted = fmt.Sprintf("%s, a writable directory with room for %s", path, size(n.Journal.MaxBytes))
	f.Fix = fmt.Sprintf("sudo install -d -o weir -g weir -m 750 %s", path)
	d, err := m.Disk(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return f.at(Fail, "%s does not exist", path)
	case err != nil:
		return f.unknown(err)
	case d.ReadOnly:
		f.Fix = fmt.Sprintf("find out why in dmesg (errors of the disk make it so) and in /etc/fstab, then: sudo mount -o remount,rw \"$(findmnt -no TARGET --target %s)\"", path)
		return f.at(Fail, "%s is on a file system that is mounted read-only", path)
	case !d.Writable:
		f.Fix = fmt.Sprintf("sudo chown -R weir:weir %s, or run doctor as the user that serves", path)
		return f.at(Fail, "%s is not writable for this user", path)
	}
	f.Fix = fmt.Sprintf("give %s more space, or lower journal.maxBytes to %d", path, (d.Held+d.Free)*9/10)
	found := fmt.Sprintf("%s, %s free, %s held", d.FileSystem, size(d.Free), size(d.Held))
	switch {
	case d.Free < leastFree:
		return f.at(Fail, "%s", found)
	case d.Exposed.Path != "":
		f.Fix = fmt.Sprintf("chmod -R go-rwx %s", path)
		return f.at(Warn, "%s, %s has mode %04o: others than its owner may get at it", found, d.Exposed.Path, d.Exposed.Mode.Perm())
	case d.Free+d.Held < n.Journal.MaxBytes:
		return f.at(Warn, "%s", found)
	}
	level, note := fileSystem(d.FileSystem)
	f.Fix = "set journal.path to a directory on a local disk"
	return f.at(level, "%s%s", found, note)
}

// fileSystem says whether what was flushed to a file system is there after a restart.
func fileSystem(name string) (level Level, note string) {
	switch name {
	case "ext4", "xfs", "btrfs", "zfs", "f2fs":
		return OK, ""
	case "tmpfs", "ramfs":
		return Warn, ": it is memory, lost at restart, and counts against the memory of the machine"
	case "overlay":
		return Warn, ": the layer of a container, lost with it; mount a volume"
	case "nfs", "smb", "cifs", "ceph", "9p", "fuse":
		return Warn, ": not a local disk: slow to flush, and it may hang"
	}
	return Unknown, ": not known whether it keeps what was flushed"
}

// heldBelow adds up the files of a directory. Those that go while it looks are not counted.
func heldBelow(dir string) (int64, error) {
	var held int64
	err := filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || e.IsDir() {
			return err
		}
		if info, err := e.Info(); err == nil {
			held += info.Size()
		}
		return nil
	})
	return held, err
}
