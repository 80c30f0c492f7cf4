// Package workers is where user code runs, so that it never runs on a shard (architecture.md D8): a Pool of goroutines that come on
// demand, and a Mailbox for each socket, whose jobs run one after another.
//
// Everything exported may be used by several goroutines at once unless it says otherwise.
package workers
