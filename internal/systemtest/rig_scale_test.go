//go:build !race

package systemtest_test

// heavy is by how much the heavy tests scale down.
const heavy = 1

// residentCounts says whether the resident set means what the process holds.
const residentCounts = true
