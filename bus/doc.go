// Package bus routes what is published to whoever subscribed to it.
//
// This is its live half: [Bus.Publish] finds the subscriptions that match the subject and hands the
// event to each of them at once, in the goroutine of the publisher. Nothing is stored. What a subscriber
// does not accept in that moment is lost for it, counted, and visible in [Bus.Stats] and [Subscription.Dropped].
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
// At most once per subscription. A [Client] that has several matching subscriptions gets the
// event once for each, as in Redis; the message says which one matched. A subscription whose creation returned before Publish was
// called is served. After Unsubscribe has returned, a publish that had begun before may still deliver; a subscriber
// that must not see this asks [Subscription.Active] under the lock that orders its output.
//
// # Blocking
//
// Publish takes no lock and never waits for anybody who subscribes or unsubscribes. It is as slow
// as the Deliver methods that it calls, so Deliver must not block: it appends to a bounded queue or
// buffer of its own and returns false if there is no room. The one exception is asked for by name: a [Queue]
// with the policy [Block] holds up its publishers, for a bounded time.
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
