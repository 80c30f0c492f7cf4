// Package swarm is many Socket.IO clients on one thread, so light that it is not what is measured: one epoll loop, one
// read buffer for all, and per client neither goroutine nor timer nor buffer. It speaks to any Socket.IO server, counts
// what becomes of its clients, and checks what they get: gaps, order, duplicates, age.
//
// A [Swarm] runs on Linux only; elsewhere Start says so. [Spec], [Group] and [Snapshot] are JSON, because agents in
// other processes are given the ones and send the other.
//
// # The loop
//
// One goroutine on a locked thread owns all clients. Each turn it takes what the kernel has ready, what was asked from
// outside, what is due in the wheel, a slice of whatever is long (connecting, cutting, leaving), and then says how far
// everybody has got. Nothing else touches a client.
//
//	idle -> connecting -> shaking -> ready -> leaving -> left
//	             ^           |         |
//	             |           v         v
//	          waiting <-- failed or lost --> gone
package swarm
