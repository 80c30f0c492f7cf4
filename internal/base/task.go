package base

// Task is one step of work for a shard's loop.
//
//weir:loop
type Task interface{ Run() }

// Loop runs tasks one at a time in the order they were posted: a shard, as the
// rooms below it see it. Post may be called from any goroutine and never blocks;
// after Done is closed a posted task may never run, so a goroutine that waits for
// a task's effect also waits for Done.
type Loop interface {
	Post(Task)
	Done() <-chan struct{}
}
