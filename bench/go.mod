// The benchmarks are a module of their own, so that what only they need is no requirement of who embeds Weir. Of Weir
// itself they import internal/wire/ws alone: the servers under measurement are other processes.
module github.com/streamweir/weir/bench

go 1.26.0

require (
	github.com/HdrHistogram/hdrhistogram-go v1.4.0
	github.com/streamweir/weir v0.0.0
)

replace github.com/streamweir/weir => ../
