// Package bus routes what is published to whoever subscribed to it, and has typed handlers process it.
//
// It has two floors. A [Bus] routes events: [Bus.Publish] stores an event in the streams that capture its subject and then hands it to
// the subscriptions that match; where no stream captures, nothing is stored. On it stands a [Node], to which programs add handlers, with types in place
// of events. An application is a [Host]: it has a node, and runs it.
//
// # Topics
//
// A [Topic] is a filter, a type and a codec. Where the filter has no wildcard, it is the subject of what is published; a single '+' is
// filled with the key ([Key]), which the event does not carry a second time: who publishes on the subject in any other way, with redis-cli or curl, is in the
// same order. Anything else is for [Subject] to say, and a key beside it is one that only typed publishers and the header Spate-Key give. In a handler, a topic with a single '+' and neither Key nor Subject takes the
// key of the event that is handled: that of the event; or if it has none, as events of other doors, what Key of its topic says of it, or
// what stands at the single '+' of its topic. So a topic "alerts/+" without options gets the alerts of a device under its name.
//
// # Handlers
//
// [Handle] and [HandleBatch] are durable: they read a stream, and what they publish with [Publish] and keep as [State] is committed together with their
// place, in one step, or not at all. That is exactly once from stream to stream, across crashes; what a handler does to the world
// outside may happen again. Events of one key are handled in order, those of different keys beside each other. The error decides: nil is done, [Skip]
// is done without effects, [RetryAfter] is later, [Dead] is a dead letter, and any other is tried again and becomes one in the
// end. All of it is promised by package consumer.
//
// [HandleLive] and [Subscribe] are not: they see what is published while they are there, at most once, and lose what does not fit into their queue,
// by the policy of [QueueOptions]; what is lost is counted. A live handler has the events in order unless it has a concurrency; its errors are logged.
//
// [Request] asks, live, and [Respond] answers. Requests and replies are stored nowhere. All responders of a subject get a request, and the
// first reply counts. Replies travel on subjects below "$reply/" that cannot be guessed, and that no filter or pattern selects which
// begins with a wildcard: only somebody who was given that very access can listen.
//
// In the context of a handler, [Publish] is part of the step, [PublishTo] and [Request] never are. [Current] is the event that is being handled. Contexts of other
// origin get a node by [WithNode]. A context of a handler must not be used after it has returned: what it publishes is refused.
//
// A [Publisher] waits for its window, not for each event; its order is kept, its errors come with Flush.
//
// [Middleware] goes around handlers of every kind, outermost first: that of the node, then that of the handler. Traces are carried by the
// header traceparent: what is published in the context of a span, or in a handler of an event that carries one, carries it on.
//
// # Ending
//
// When the context of [Node.Run] ends, no handler takes up anything more from a stream; live handlers and responders finish what is in their
// queues; all have the grace of the node for it, then their contexts end. Run waits for them.
//
// The rest of this comment is about the bus itself.
//
// # Order
//
// Events that one goroutine publishes reach each subscription in the order in which they were
// published. Between publishers there is no order, and two subscriptions may see the
// events of two publishers in different orders. Of one event, subscriptions to filters are served before those to
// glob patterns; no other order between subscriptions is promised.
//
// # Delivery
//
// [Receipt] says what became of an event: how many accepted it, where it is stored, and what a dedupe window left out, which is not delivered either.
// At most once per subscription, also of what is stored: who must not lose anything reads the stream. A [Client] that has several matching subscriptions gets the
// event once for each, as in Redis; the message says which one matched. A subscription whose creation returned before Publish was
// called is served. After Unsubscribe has returned, a publish that had begun before may still deliver; a subscriber
// that must not see this asks [Subscription.Active] under the lock that orders its output.
//
// # Blocking
//
// [Bus.Publish] waits for the store where a stream captures, [Bus.Submit] does not, and delivery follows in the order of the commits, in a
// goroutine of the bus. What waits for it is bounded ([Limits].DeliveryEvents and DeliveryBytes): beyond that, who stores events waits before they are
// stored, Submit and the steps of handlers too. Elsewhere, and with [Bus.PublishLive] everywhere, the publisher itself delivers: it
// takes no lock and never waits for anybody who subscribes or unsubscribes. It is as slow
// as the Deliver methods that it calls, so Deliver must not block: it appends to a bounded queue or
// buffer of its own and returns false if there is no room. The one exception is asked for by name: a [Queue]
// with the policy [Block] holds up its publishers, and the delivery of all that is stored, for a bounded time.
// A Deliver that panics loses its subscription, is logged with its stack, and disturbs nobody else.
//
// # Ownership
//
// A [Message] and everything that it gives out is good only until Deliver returns, strings too: with
// [Bus.PublishBytes] they point into the publisher's read buffer. Two things may be kept, and are made
// at most once per message however many ask: the copy that [Message.Keep] returns and the
// bytes that [Message.Frame] returns. Both are shared, so nobody may change them.
//
// # Patterns
//
// A filter is MQTT's (see package event) and costs the same however many there are. A glob is Redis's ([Glob])
// and is tried against each event, one by one, as Redis does; so their number is limited, and so is what one may
// cost: about 20 ns, 2.5 µs at worst with the default limits, since the time grows with the sum of the lengths of the pattern
// and the subject. A pattern for which it would be more is refused with [ErrTooVague]; Redis takes it. A glob without
// special characters is routed like a subject, and one that does not begin with "$" matches no subject that does,
// which Redis does not tell apart.
package bus
