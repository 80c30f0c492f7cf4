// Package swarm is the clients' side of the benchmarks: many Socket.IO connections over websockets in one process,
// each with a goroutine, cheap enough not to be what is measured. It speaks to Weir and to npm's socket.io alike and
// reads of a message no more than its event's name and the numbers it begins with.
package swarm
