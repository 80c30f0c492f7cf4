// Package rig runs what a benchmark measures: a server under test and what loads it, each its own operating system
// process, pinned to a CPU each; and it reads what they cost. It signals only processes it started.
package rig
