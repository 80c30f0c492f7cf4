package report

import "io"

// NewTerminalProgress is progress on a terminal, which a test has none of.
func NewTerminalProgress(w io.Writer) *Progress { return &Progress{w: w, terminal: true} }

// The parts that are tested by themselves: what they show is on every page.
var (
	MachineFrom = machineFrom
	Sentence    = Machine.sentence
	Number      = number
	Integer     = integer
	Quantity    = quantity
	Ratio       = ratio
)
