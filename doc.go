// Package spate makes event-driven servers: connections in, events through,
// reactions out.
//
// An [App] owns everything that a server needs: the engine that turns sockets
// into requests, who may do what, the bus that events travel on, metrics and
// debug pages. A program makes one, tells it where to listen, and runs it:
//
//	app := spate.New(spate.Options{})
//	app.Listen("resp://127.0.0.1:6379")
//	app.Listen("http://127.0.0.1:8080")
//	err := app.Run(ctx)
//
// # Listeners
//
// A listener is a URL: a protocol (echo, resp, mqtt, ws or http), optionally +tls or
// +unix, and an address. [App.Listen] opens the socket, so the port is known and
// taken when it returns; peers are served from [App.Run] on, and until then wait
// in the kernel's queue. So the order in which an application is put together
// never matters.
//
// A listener that other machines can reach is refused until authentication is
// configured; one for echo, which asks nobody who they are, until
// [Listener.Insecure] says that this is meant.
//
// # Handlers
//
// Handlers are plain Go and may block: a request is a task with a goroutine of
// its own for as long as it runs, and a slow one delays its own connection and no
// other. Requests of one connection are handled in order. A panic ends its
// connection, with the stack in the log, and nothing else.
//
// # Shutdown
//
// Run blocks until its context ends. Then nothing more is accepted, /readyz turns
// to 503, subscriptions over HTTP end with a last comment, every connection
// answers the requests that it has received, what waits to be sent is delivered,
// and all is closed: within Options.DrainTimeout, after which the rest is cut off
// and Run returns an error that says what. A handler that goes on for two seconds after
// its context has ended is left behind, and named: only the end of the process
// ends it. The HTTP listeners close last, so that
// a drain can be watched.
//
// # Not promised
//
// Delivery of live events is at most once, see package bus. What no stream
// captures is kept nowhere; without Options.Data and Options.Store nothing is.
package spate
