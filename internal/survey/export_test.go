package survey

// How much one step of a walk looks at.
const (
	LaneSlice = laneSlice
	ViewCost  = viewCost
)
