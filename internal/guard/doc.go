// Package guard is what stands at the door: who may connect from where (Origins, CheckLocal), with which credentials
// (StaticTokens, Keys), who is refused for a while (Failures, Penalties), and where user code runs so that it never
// runs on a shard (Workers, Mailbox; architecture.md D8).
//
// It opens no socket and reads no clock except the idle time of workers: moments are arguments. Everything exported
// may be used by several goroutines at once unless it says otherwise.
package guard
