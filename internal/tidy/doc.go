// Package tidy holds the tests that keep the style of this repository. It has no code of its own to import: `go test
// ./internal/tidy` reads every Go file of the module and reports each place that breaks a rule as `file:line: rule: what
// is wrong. What to do next.`
//
// The tables that state the rules (who may import whom, sizes, where goroutines start, which exceptions stand and why)
// are in tables_test.go. An exception is granted there, with its reason, never in the file that needs it, so that a
// review sees all of them together. An exception that nothing uses any more is reported as well.
//
// What is promised: files of every operating system are read, whatever their build constraints; nested modules,
// testdata and directories that start with a dot or an underscore are not; a rule reads syntax only, so it needs
// neither a build nor the network, and each rule has a test of its own that shows it failing and passing.
//
// What is not promised: types are not resolved. A rule can be evaded by somebody who wants to; it is here for those
// who forget.
package tidy
