// Command bench runs Spate beside its peers on the same work, in turns, and
// prints medians and ratios as Markdown tables. README.md says what is
// measured and what came out.
//
//	go run . echo -conns 64,512 -rounds 5 -seconds 3 -peers spate,tokio
//
// Every measurement starts a fresh server, pinned to one CPU; the load runs on
// another. The peers take turns within a round, so that what changes on the
// machine over minutes changes for all of them, and a ratio is the median over
// rounds of the ratios within a round. Nothing is written but target/, which
// holds the built servers.
package main
