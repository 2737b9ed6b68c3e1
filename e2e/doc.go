// Package e2e uses a Spate that was built and started as a user would, with clients that nobody here wrote: go-redis,
// rueidis and Eclipse Paho's two clients as libraries, redis-cli, redis-benchmark, mosquitto_pub, mosquitto_sub and curl as programs, and npm's
// mqtt in Node.js and in a browser. It is a module of its own, so that those libraries are not among the dependencies of the server.
//
// `go test ./...` builds the binary, starts it on free ports, and needs redis-tools, mosquitto-clients, curl, Node.js with npm, which installs
// what web/package-lock.json lists, and Chromium. Nothing is skipped when they are missing.
package e2e
