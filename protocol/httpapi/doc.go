// Package httpapi is the HTTP door: health, metrics and the pages that show
// what the server is doing.
//
//	/livez              200 as long as the process serves; open to everybody
//	/readyz             200 while the server takes work, 503 while it drains; open to everybody
//	/metrics            counters in the Prometheus text format
//	/debug/             links to the pages below
//	/debug/tasks        the live tasks: name, age, parent
//	/debug/connections  the open connections of every listener
//	/debug/pprof/       Go's profiles, only with Options.PProf
//
// The debug pages are HTML for a browser, JSON with ?format=json or an Accept
// header that asks for it, and a plain table otherwise, for curl. In JSON,
// durations are seconds, with a fraction.
//
// # Who may see what
//
// While authentication is not configured, peers on this machine through a
// listener on this machine. Once it is configured, whoever proves to be a user
// with an admin role: Authorization: Basic or Bearer, or a client certificate.
// /livez and /readyz say one word and ask nobody.
//
// On a listener that only this machine can reach, the Host header must be an
// address, localhost, or one of Options.Hosts: a web page whose name was made to
// point at 127.0.0.1 (DNS rebinding) names itself there. Requests that change
// something are refused when the browser says that they come from another
// origin. No cross-origin reading is ever allowed.
//
// # What a client can cost
//
// HTTP/1.1 only. Connections are limited in total and per address before
// anything is allocated for them, headers and bodies by size, and each wait for
// the peer by a deadline: the TLS handshake, the header, the body, the pause
// between two requests, and every write. A connection that ends is counted by
// the same reasons as those of the engine, and logged unless that is routine. A
// panic ends one request's connection. See [Limits].
//
// # Blocking and order
//
// [Door.Serve] blocks until the listener closes. [Door.Shutdown] stops
// accepting, lets requests finish until its context ends, and closes what is
// left. Requests of one connection are answered in order.
package httpapi
