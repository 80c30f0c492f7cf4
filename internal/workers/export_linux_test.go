package workers

// What the watch asks the kernel, for its test.
var (
	ThreadID   = threadID
	ThreadTime = threadTime
	Waits      = waits
)
