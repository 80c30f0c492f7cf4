// Package lint holds the rules of the house that no linter knows, as Go tests over the module's own source: who may
// import whom, which half may not know the other, how large things get, where goroutines, sleeps, prints and raw
// system calls belong. They run with every `go test ./...`.
//
// The rules read syntax only, of every file whatever its build tags, so that they hold for all platforms at once.
// What they cannot see without types they do not guess: a package-level function is recognised by its import, not by
// its name. [LoopOnly] needs types, so it is no [Rule]: its test gives it the packages as they are built here.
//
// To add a rule: write it beside its kin, list it in [Rules], and show in a test that it catches its violation.
package lint
