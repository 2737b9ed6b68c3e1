// Package e2e uses a Spate that was built and started as a user would, with clients that nobody here wrote: go-redis and
// rueidis as libraries, redis-cli, redis-benchmark and curl as programs. It is a module of its own, so that those libraries are not
// among the dependencies of the server.
//
// `go test ./...` builds the binary, starts it on free ports, and needs redis-tools and curl. Nothing is skipped when
// they are missing.
package e2e
