package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/streamweir/weir/internal/vfs"
)

// storeDir is a directory that a server has for itself.
type storeDir struct{ lock vfs.Lock }

// The files of ours in it.
const (
	lockFile = "lock"
	nameFile = "node" // says whose it is
)

// openStore makes a node's directory, or opens it: it is refused while another process has it, and to a node of another name,
// whom the other servers would take for one more.
func openStore(dir, node string) (*storeDir, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("StoreDir: %w", err)
	}
	lock, err := vfs.Dir(dir).Lock(lockFile)
	if err != nil {
		return nil, fmt.Errorf("StoreDir: %w", err)
	}
	if err := claim(filepath.Join(dir, nameFile), node); err != nil {
		_ = lock.Close()
		return nil, err
	}
	return &storeDir{lock}, nil
}

// claim writes the node's name into a new store, or compares it.
func claim(path, node string) error {
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("StoreDir: %w", err)
	}
	switch was := strings.TrimSpace(string(text)); was {
	case node:
		return nil
	case "":
		if err := os.WriteFile(path, []byte(node+"\n"), 0o600); err != nil {
			return fmt.Errorf("StoreDir: %w", err)
		}
		return nil
	default:
		return fmt.Errorf("StoreDir: %s is that of node %q, and this one is %q: a node keeps its name, and its directory", filepath.Dir(path), was, node)
	}
}

func (d *storeDir) close() { _ = d.lock.Close() }
