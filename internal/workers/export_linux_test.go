package workers

// What the watch asks the kernel, for its test.
var (
	ThreadID   = threadID
	OpenStatus = openStatus
	ThreadTime = threadTime
	Asleep     = asleep
)
