// Package memfs is a file system in memory that fails as real ones do, for tests: a crash loses what was not synced, whole or
// from any byte on; any operation can fail, hang or be the last one; it is full or read-only when it is told to be.
package memfs
