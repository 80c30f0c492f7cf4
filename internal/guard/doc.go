// Package guard is what stands at the door: who may connect from where (Origins, CheckLocal), with which credentials
// (StaticTokens, Keys), who is refused for a while (Failures, Penalties), and how much clients may send once they are in (Inbound).
//
// It opens no socket, reads no clock and starts no goroutine: moments are arguments. Everything exported may be used by
// several goroutines at once unless it says otherwise.
package guard
