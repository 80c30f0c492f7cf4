// Package loadtest proves a Socket.IO server on the machine it runs on: scenarios with many clients over package swarm,
// whose results are report.Runs.
//
// A scenario is Options, validated, and given to Run. The same names are flags of `weir bench` and keys of a scenario
// file (ReadFile): the table behind both is Options.Settings.
//
// What can be measured is checked as well: every delivery of a topic carries its number and when it was meant to be
// sent, {"n":12,"t":345,"pad":"…"}, so gaps, disorder and repeats are found, and a latency counts from the intended
// time, not from when a publisher that was held up came to it (no coordinated omission). Histograms are merged, over
// time and over processes; percentiles never are.
//
//	Run ── bench ─┬─ fleet: clients, in this process or in agents (the program itself, once more, over a pipe)
//	              ├─ feed: publishes, in an open or a closed loop
//	              └─ server: what the other side uses, from /proc and /metrics
//
// It knows nothing of Weir but its metrics' names: any Socket.IO v5 server can be measured.
package loadtest
