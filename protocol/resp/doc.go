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
// # Who may do what
//
// With [Options].Auth, a connection is a guest until AUTH, HELLO … AUTH or its TLS client certificate say who it is: it may
// say AUTH, HELLO, QUIT and RESET, in small requests. AUTH password is for the user "default", AUTH name password
// for the others, and AUTH [TokenUser] token is for bearer tokens. PUBLISH needs the right to publish to the subject,
// SUBSCRIBE and PSUBSCRIBE that to all they can match; CLIENT LIST and KILL and CONFIG GET need the right to administer.
// When the rules change or the identity expires, each live connection is judged again at its next request, and before the next message
// that it would get; one that has lost what it relies on is closed.
//
// # What is different from Redis
//
// There are no keys, transactions, scripts or sharded channels. HELLO … SETNAME takes the name only if all of HELLO succeeds, as Redis does since 7.2; PUBSUB CHANNELS and
// NUMSUB show what the user may receive; CLIENT LIST shows no descriptors and no sizes of buffers that do not
// exist here. A NUL byte does not end a request line.
package resp
