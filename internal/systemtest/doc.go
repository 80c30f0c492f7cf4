// Package systemtest holds the tests of the whole: servers on real ports, clients over real sockets, and the public API in
// between. A file is a promise (docs/promises.md) or a kind, by the first word of its name:
//
//	bounded fresh isolated ordered accounted inherited drain returns enforced    promises
//	access wire api drivers docs                                       kinds: who is let in, bytes, the Go API, both drivers, documents
//	rig                                                                what all use
//
// WEIR_TEST_DRIVER=goroutine runs them with the other driver. What no user can see or hold they have from attach.Tests.
package systemtest
