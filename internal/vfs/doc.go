// Package vfs is the only door to files that hold data: an interface small enough to fake, and the operating system behind it.
//
//	journal ──> FS ──> Dir (the operating system)
//	                └─> memfs.FS (tests: crashes, full, read-only, failing at any operation)
//
// Names are relative to the directory of the FS, with slashes. What is written is in the file when Write has returned, and
// outlives the machine when Sync has; that a file has its name outlives the machine when SyncDir has.
package vfs
