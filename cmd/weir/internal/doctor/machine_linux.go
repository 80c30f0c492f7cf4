package doctor

import (
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/streamweir/weir/internal/vfs"
)

// fileSystems are the names of the numbers of statfs(2) that a journal may meet.
var fileSystems = map[int64]string{
	unix.EXT4_SUPER_MAGIC:      "ext4",
	unix.XFS_SUPER_MAGIC:       "xfs",
	unix.BTRFS_SUPER_MAGIC:     "btrfs",
	unix.F2FS_SUPER_MAGIC:      "f2fs",
	0x2fc12fc1:                 "zfs",
	unix.TMPFS_MAGIC:           "tmpfs",
	unix.RAMFS_MAGIC:           "ramfs",
	unix.OVERLAYFS_SUPER_MAGIC: "overlay",
	unix.NFS_SUPER_MAGIC:       "nfs",
	unix.SMB2_SUPER_MAGIC:      "smb",
	unix.SMB_SUPER_MAGIC:       "smb",
	0xff534d42:                 "cifs",
	unix.FUSE_SUPER_MAGIC:      "fuse",
	unix.CEPH_SUPER_MAGIC:      "ceph",
	unix.V9FS_MAGIC:            "9p",
}

// disk looks at a directory without changing anything in it.
func disk(path string) (Disk, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Disk{}, err
	}
	if !info.IsDir() {
		return Disk{}, &fs.PathError{Op: "open", Path: path, Err: unix.ENOTDIR}
	}
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return Disk{}, &fs.PathError{Op: "statfs", Path: path, Err: err}
	}
	kind, ok := fileSystems[int64(s.Type)&0xffffffff] //nolint:unconvert // an int32 or uint32 on other processors
	if !ok {
		kind = fmt.Sprintf("0x%x", s.Type)
	}
	d := Disk{Free: int64(s.Bavail) * int64(s.Bsize), FileSystem: kind, ReadOnly: s.Flags&unix.ST_RDONLY != 0} //nolint:unconvert // an int32 or uint32 on other processors
	d.Writable = unix.Faccessat(unix.AT_FDCWD, path, unix.W_OK|unix.X_OK, unix.AT_EACCESS) == nil
	if d.Held, err = heldBelow(path); err == nil {
		d.Exposed, err = vfs.Dir(path).Exposed()
	}
	return d, err
}

// clockSynchronised asks the kernel whether somebody, such as chrony, sets its clock (adjtimex(2)).
func clockSynchronised() (bool, error) {
	var t unix.Timex // no modes: nothing is changed
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return false, fmt.Errorf("adjtimex: %w", err)
	}
	return state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0, nil
}
