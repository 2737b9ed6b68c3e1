// Package resp speaks the Redis serialization protocol, RESP2 and RESP3, on the engine, so that redis-cli,
// redis-benchmark and every Redis library is a client. Requests, replies and errors are those of Redis 7.0, word for word
// where Redis defines them; a test sends the same requests to both and compares.
//
// # The way of a request
//
// The engine calls the session's Serve with what has arrived (session.go). A [Request] is lent from a pool; package wire
// takes one request after the other off the front; each is looked up in the table and checked (dispatch.go), and its
// command's Run appends the reply to one buffer. That buffer is sent with a single write when all that arrived is
// answered, or when it passes 64 KiB. Nothing on this way allocates; an idle connection is a session of 64 bytes.
//
// # Request types of your own
//
// A [Command] in [Options].Commands is a request type like the built-in ones, which are made of the same struct (builtin.go):
//
//	resp.Command{Name: "GREET", Arity: 2, Run: func(ctx context.Context, r *resp.Request) error {
//		r.Simple("Hello, " + r.Text(1))
//		return nil
//	}}
//
// Run may block as long as it likes. Requests of one connection run in order and one at a time, also those that were
// sent in one pipeline, so a request waits for the ones before it; other connections do not. Replies of one pipeline leave
// together; a command with the flag [Blocking] lets those before it go first. The arguments and the Request
// are good until Run returns. A reply that lacks elements, or has too many, is replaced by an error, since the client would
// otherwise take the following replies for parts of it. A panic ends the connection, after the replies before it are sent.
//
// # Subjects, patterns, filters
//
// Channels are subjects of package event. So, unlike with Redis, a channel is UTF-8 text that is not empty and has no
// NUL, + or # in it; others are refused with "ERR invalid subject". SUBSCRIBE is for one subject each. A pattern
// given to PSUBSCRIBE that has a level + or # is a filter, such as sensors/+/temperature; any other is a Redis glob. Both
// arrive as pmessage. Databases mean nothing: SELECT is accepted, and publishing reaches all, as in Redis.
//
// # Order and delivery
//
//   - What one connection publishes reaches each subscriber in that order.
//   - A confirmation of SUBSCRIBE comes before every message of the subscription, and whatever is published after the
//     client has read it is delivered. After the confirmation of UNSUBSCRIBE nothing of the subscription comes any more.
//   - A request that subscribes to several things gets all of them, or an error and none.
//   - Live events are delivered at most once. A subscriber that reads too slowly meets [Options].Overflow; drops are counted by the bus,
//     the engine and the subscription.
//   - Between publishers, and between the channels and the patterns of one client, there is no promised order.
//
// # Streams
//
// With a bus that stores events, a key is a subject, and its entries are the events of the subject in the stream that captures it, the oldest
// if several do. XADD publishes: what it adds is captured, delivered live, and seen by every other door; XRANGE, XREAD and consumer groups see what others
// have published, as the fields data, id, time, key and header:NAME. How fields become an event, what IDs are, and what is promised after a crash is the contract of package xstream. A key
// that no stream captures gets one if [Options].CreateStreams says so. DEL removes the entries and the groups of a key; its stream stays.
//
// XADD, and PUBLISH to a subject that a stream captures, reply when the event is on disk. They do not hold up what is behind them in the pipeline: the replies
// leave in order once the commits that they wait for, which are one for all that arrived together, are done (holes.go). A command of
// another kind waits for those before it. A client that waits in XREAD or XREADGROUP costs a goroutine, but not a handler: its end is noticed, requests that it sends meanwhile are held and served
// afterwards (park.go), and a shutdown does not wait for it. Entries wake all clients that wait for them, and those of one group are not served in turn.
//
// Different from Redis: an ID of XADD * ends in the offset of the entry and not in a small number; MAXLEN ~ removes hundreds from
// the first entry on; the radix tree that XINFO STREAM shows is what Redis would need; a reply of XRANGE with more than 32 MiB is refused, and XREAD, XREADGROUP, XCLAIM
// and XAUTOCLAIM return 8 MiB, or less while other long replies are under way, and leave the rest for the next request; when a consumer was last seen is not kept over a restart; names and numbers are limited, see xstream.Limits. Keys are subjects, and so no binary strings.
//
// # Who may do what
//
// With [Options].Auth, a connection is a guest until AUTH, HELLO … AUTH or its TLS client certificate say who it is: it may
// say AUTH, HELLO, QUIT and RESET, in small requests. AUTH password is for the user "default", AUTH name password
// for the others, and AUTH [TokenUser] token is for bearer tokens. PUBLISH needs the right to publish to the subject,
// SUBSCRIBE and PSUBSCRIBE that to all they can match; CLIENT LIST and KILL and CONFIG GET need the right to administer.
// A command that writes entries (XADD, XDEL, XTRIM, XSETID, DEL, XGROUP CREATE … MKSTREAM) needs the right to publish to the key,
// and one that reads them or keeps account of reading (consumer groups) that to subscribe to it.
// When the rules change or the identity expires, each live connection is judged again at its next request, and before the next message
// that it would get; one that has lost what it relies on is closed.
//
// # What is different from Redis
//
// There are no keys but streams, no transactions, scripts or sharded channels. HELLO … SETNAME takes the name only if all of HELLO succeeds, as Redis does since 7.2; PUBSUB CHANNELS and
// NUMSUB show what the user may receive; CLIENT LIST shows no descriptors and no sizes of buffers that do not
// exist here. A NUL byte does not end a request line.
package resp
