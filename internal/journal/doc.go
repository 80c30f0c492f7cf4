// Package journal keeps what topics publish on disk: a keeper of the log contract (architecture.md D5, D12).
//
//	Append ─> queue ─> writer (one for each topic that has work) ─> segment ─> fdatasync ─> Deliver ─> position
//	Read   ─> readers of the journal ─> blocks, shared ─> done
//
// A log is a directory of segments, each a header and records (docs/formats.md). The codecs are pure; all that touches files
// goes through package vfs.
package journal
