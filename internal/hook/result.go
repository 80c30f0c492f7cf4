package hook

import "errors"

// Result is how a call ended: a label of metrics.
type Result uint8

// The results.
const (
	Answered    Result = iota // with an answer that can be used
	Cached                    // not asked: the answer to the same question is still good
	Left                      // given up: nobody waits for the answer any more
	Full                      // not asked: as many wait as may, or the memory budget is spent
	Broken                    // not asked: the breaker is open
	Unreachable               // there was no connection, or it broke
	Late                      // there was no answer in time
	Status                    // another status than 200
	Redirect                  // to somewhere else: it is not followed
	TooLarge                  // the answer is larger than may be
	Garbage                   // the answer is not what it has to be
	Ended                     // not asked, or given up: the server is going away

	results = int(Ended) + 1
)

func (r Result) String() string {
	return [results]string{
		"answered", "cached", "left", "full", "breaker", "unreachable", "timeout", "status", "redirect", "too_large", "garbage", "draining",
	}[r]
}

// Results lists all, for metrics.
func Results() []Result {
	list := make([]Result, results)
	for i := range list {
		list[i] = Result(i)
	}
	return list
}

// Failure is why there is no answer.
type Failure struct {
	Result Result
	Cause  error // for the log; it has nothing of the request
}

func (f *Failure) Error() string {
	if f.Cause == nil {
		return f.Result.String()
	}
	return f.Result.String() + ": " + f.Cause.Error()
}

// Unwrap returns the cause.
func (f *Failure) Unwrap() error { return f.Cause }

// ResultOf is how the call ended that an error tells of.
func ResultOf(err error) Result {
	if f, ok := errors.AsType[*Failure](err); ok {
		return f.Result
	}
	return Answered
}

// fails reports whether a result is the backend's fault: it is logged.
func (r Result) fails() bool { return r >= Unreachable && r <= Garbage }
