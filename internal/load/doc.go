// Package load makes requests of a server, as many or as often as asked for,
// checks every reply and measures how long it took. `spate bench` and the
// bench module are made of it.
//
// A run is closed-loop or open-loop. Closed-loop (Options.Rate is zero): each
// connection keeps Options.Pipeline requests under way and sends the next when
// a reply arrives, so a server that stalls is asked less, and the latency says
// little about what users of a busy server see. Open-loop: requests are due at
// fixed intervals, whatever the server does; one that is due while every
// connection is busy waits for one, and its latency counts from when it was
// due. A stall is therefore counted once for each request that it delayed
// ("coordinated omission" is corrected). A request that is still unanswered at
// the end of an open-loop run counts with the time that it has waited.
//
// What is measured begins after Options.Warmup. Replies of one connection come
// in the order of its requests; a reply that is wrong, or a connection that
// breaks, is counted as an error and its connection is not used again.
//
// On Linux (5.11 or newer) a single goroutine drives all plain connections with epoll, so that
// one core of load can saturate one core of server with thousands of them. TLS
// and other systems take two goroutines per connection, which costs the
// generator more and the server the same.
//
// Fanout and MQTT do the same for publishers and subscribers, over Redis's protocol and over MQTT 3.1.1 and 5.0, by TCP
// or WebSocket. Every delivery is compared with what was published, and its order is checked; what is missing or comes
// again is counted. In a closed loop publishing waits for the slowest subscriber that reads, so no server can win by
// dropping. They need epoll: one goroutine drives all connections, and MQTT also makes them without blocking.
//
// Not promised: that the generator keeps up. Result.Late tells how many
// requests of an open-loop run left more than a millisecond late although a
// connection was free, which is the generator's own delay and not the server's.
package load
