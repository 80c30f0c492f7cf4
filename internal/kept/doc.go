// Package kept is what a topic remembers for those who subscribe later: its newest
// value, or the newest of each key, within limits. It is pure: no lock, clock or
// goroutine; its user holds the topic's lock.
package kept
