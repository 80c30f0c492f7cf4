// Package report is the result of a load test: a Run, and the forms in which people and programs read it.
//
//	Run -- WriteText -----> a table for a terminal, at most 100 columns
//	    -- WriteJSON -----> one versioned object, which ReadJSON reads back
//	    -- WriteHTML -----> one self-contained file with charts, for one run or several side by side
//
// A Run holds what was measured in full: latencies are histograms, never percentiles, so that results can be merged
// and drawn again later. All text in a Run may come from strangers (a server's reason for a refusal): each form
// escapes it as it needs.
package report
