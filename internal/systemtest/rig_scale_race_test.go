//go:build race

package systemtest_test

// heavy is by how much the heavy tests scale down: the race detector makes the
// process about ten times slower, and the memory it holds several times larger.
const heavy = 10

// residentCounts says whether the resident set means what the process holds; under
// the race detector it is mostly shadow memory.
const residentCounts = false
