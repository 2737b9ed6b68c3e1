// Package httpapi is the HTTP door: events in and out, streams, consumers and
// dead letters, health, metrics, and the pages that show what the server is
// doing.
//
//	/v1/publish/{subject}  POST one event: the body is its data
//	/v1/events             POST CloudEvents: one or a batch, in one commit
//	/v1/subscribe          GET events as they come, live or from a stream
//	/v1/streams            GET, POST; /{name} GET, PATCH, DELETE; /{name}/trim; /{name}/events
//	/v1/consumers          GET; /{name} GET, DELETE; /{name}/pause, /resume, /reset
//	/v1/dead               GET; /redrive, /drop; /{id} GET, DELETE; /{id}/redrive
//	/v1/devices            GET; /{id} GET, PUT, DELETE; /{id}/state GET, PATCH; /{id}/commands GET, POST; /{id}/commands/{command} GET
//	/v1/sessions           GET; /{client} GET, DELETE: the sessions of MQTT clients
//	/v1/ws                 a WebSocket: publish and subscribe in JSON, see docs/websocket.md
//	/v1/openapi.json       what all of it takes and answers (OpenAPI 3.1)
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
// # Publishing
//
// A publisher is answered once its events are as durable as the streams that
// capture them promise, and delivered to those who listen: 200. 202 says that at
// least one event is captured by no stream, so that only those who listen now
// have got it. A batch is one commit: all of it is stored, or nothing. After 504,
// and when the connection broke, it may have been stored or not; sent again with
// the same id, Spate-Id or Idempotency-Key, a stream with a dedupe window takes it
// once.
//
// # CloudEvents
//
// An event is a CloudEvent of version 1.0, and back, and neither way loses anything.
// What Spate has a field for is an attribute:
//
//	subject          the subject; without one it is the type, its dots as slashes
//	partitionkey     the key
//	time             the time; without one it is that of arrival, which is added
//	id               the ID if it is a UUID of version 7, and else one that is made
//	                 of source and id, the same each time, with the id in a header
//	data             the data; JSON keeps every byte. Text that has no
//	data_base64      content-type is marked with the extension spatetext. Base64 of
//	                 no type stays base64, for which the header ce-data says so
//
// The rest is headers of the event: datacontenttype is content-type, dataschema,
// source, type and id are ce-dataschema, ce-source, ce-type and ce-id, and every
// extension is a header of its own name. An event that never was a CloudEvent has
// the source "/spate" and the type "io.spate.event", which are not kept as headers.
// Headers, keys and subjects that cannot be attributes (a name with a dash, a
// value that is no text, a name that is there twice) travel URL-encoded in the
// extensions spateheaders, spatekey and spatesubject. The order of headers of
// different names is not kept, and neither is which of data and data_base64 held
// the same bytes.
//
// # Subscribing
//
// Live, a subscriber has a queue that is bounded, and is disconnected when it
// is full, or loses the oldest or the newest events and is told how many. From a
// stream, which may be left out where a single one captures the filter, nothing is
// lost or repeated: the id of each server-sent event says where
// to go on in every partition, so a client that comes back with the last one it
// got, in Last-Event-ID, gets what follows it; if the stream was removed and created
// again since, it is refused with 410, and begins anew without it. Events of one key come in order. A
// client that reads slowly is read for slowly, and holds up nobody. What retention
// removed before it was read is told as an event "gap". A subscription that waits
// for events says so each Limits.Heartbeat. When the access rules have changed it
// is decided about again. It ends with a comment that says why, unless the client
// does not read it: [Door.Drain] ends all.
//
// # Errors
//
// Everything below /v1/ answers errors as problems (RFC 9457), whose type is stable.
//
// # Who may see what
//
// Publishing asks for the right to publish to the subject; subscribing and reading
// back for that to subscribe to the filter, or without one to all that the stream
// captures. Who may read nothing that a stream captures is answered as if it were not
// there; who may read a part learns the offsets of that part, and since they count
// all events of a partition, how many there are. A publisher is told which streams
// keep what it publishes. The document and the types of problems ask for nothing;
// and the rest of /v1/ for what the debug pages ask for:
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
// origin, and below /v1/ those that only read are too, except for the pages of
// Options.Origins. Elsewhere no cross-origin reading is ever allowed.
//
// # WebSockets
//
// A request for one of Options.WebSockets that may have one leaves the door: the
// engine adopts its connection, TLS in place, and counts, limits, lists and
// drains it from then on. To the door it ended with the reason "upgraded".
//
// # What a client can cost
//
// HTTP/1.1 only. Connections are limited in total and per address before
// anything is allocated for them, headers and bodies by size, and each wait for
// the peer by a deadline: the TLS handshake, the header, the body, the pause
// between two requests, and every write. Bodies take memory as they arrive, not as
// they are announced, and all of them together no more than Limits.Buffered;
// nothing that is compressed is taken. Subscriptions are limited in total and per
// address. A connection that ends is counted by the same reasons as those of the
// engine, and logged unless that is routine: 100 at once and then 10 a second, and a
// line for how many more there were. A panic ends one request's connection. See [Limits].
//
// # Blocking and order
//
// [Door.Serve] blocks until the listener closes. [Door.Shutdown] stops
// accepting, lets requests finish until its context ends, and closes what is
// left. Requests of one connection are answered in order.
package httpapi
