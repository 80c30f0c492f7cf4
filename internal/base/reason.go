package base

// Reason says why a message was not delivered to one client (promise P5). Every
// undelivered message is counted under exactly one.
type Reason uint8

// The reasons, in the order of promise P5.
const (
	ReasonOverflow    Reason = iota // the lane was full: pushed out by a newer message, or the cause of a cut
	ReasonExpired                   // its ttlMs passed before the kernel took it
	ReasonRejected                  // the lane was full and its policy refuses the newest
	ReasonTooLarge                  // larger than the lane's byte limit
	ReasonDisconnect                // the client left, or was cut, before it was written
	ReasonUnsubscribe               // the client unsubscribed before it was written
	ReasonBudget                    // evicted because the process reached memory.budgetBytes
	ReasonExhausted                 // not acknowledged after 1 + maxRetries sends
	ReasonSpillFailed               // the topic's log could not take it, or could not give it back
	ReasonRetention                 // it had spilled, and went with the topic's retention before it was read back

	Reasons = int(ReasonRetention) + 1
)

var reasonNames = [Reasons]string{"overflow", "expired", "rejected", "too_large", "disconnect", "unsubscribe", "budget", "exhausted", "spill_failed", "retention"}

func (r Reason) String() string { return name(reasonNames[:], int(r)) }
