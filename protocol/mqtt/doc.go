// Package mqtt is an MQTT broker: versions 3.1, 3.1.1 and 5.0 (https://docs.oasis-open.org/mqtt/mqtt/v5.0/mqtt-v5.0.html; sections and statements in the comments are
// of that document) on the engine and the bus. A topic is a subject and a topic filter is a filter, so what a device publishes is read by every other door, and the
// other way round.
//
// # A session is a cursor
//
// A session that outlives its connection is a place in one log, which all of them share: the stream "$mqtt", which captures every subject that a subscription of such a session with
// QoS 1 or 2 selects. A message is stored there once, however many sessions wait for it. As long as a client keeps up, its session follows what is delivered live; when it is slow or away,
// it costs the place, and reads from the log later. Where in the log the messages of one filter are, is noted in memory once for all sessions that are behind ([backlog]), and made again from the log
// at a start. Packet identifiers follow from places, so they survive a crash without having been written.
//
// A session that ends with its connection keeps nothing, but what waits for a client whose Receive Maximum is used up. Which sessions there are, [Broker.Sessions] and [Broker.Session] tell, and
// [Broker.End] ends one, whether its client is there or not.
//
// # Order
//
// Messages of one publisher and topic, with the same QoS, reach a subscriber in the order in which they were published, also across reconnections: first what was on its way is sent again, in its order and marked DUP,
// then what has waited, then what is new. A retained message never follows a newer one of its topic. Of a shared subscription, by key, the order of each key is kept as long as the members stay the same.
//
// # Delivery and durability
//
// QoS 0 is at most once. PUBACK and PUBREC of a message leave when it is on disk wherever somebody waits for it: in the streams that capture its topic and, if a session that outlives its connection is
// subscribed, in the log; with [AckReceived] they leave at once. Where nobody waits, nothing is stored. If it could not be stored, version 5 is told so (0x97, 0x83), and a version 3 client is
// disconnected; so is any whose PUBREC or PUBREL could not be noted, since PUBREL and PUBCOMP have no code for that. To a session that outlives its connection, QoS 1 is at least once and QoS 2 exactly once, also across a crash of the server; an exception are retained messages that were on their way then, which
// come again with the next subscription only. Shared subscriptions are granted QoS 1 at most. What other doors publish has QoS 1 where the log captures it, and for other sessions too.
//
// Queues are bounded, see [Limits]; every message of QoS 1 or 2 that is lost is counted and told on [DroppedSubject]. Wills are stored as long as they may be needed: after a crash, clients have ten
// seconds to come back.
//
// # Blocking and ownership
//
// A connection is served by the engine's rules; the task of a connection blocks for logins, commits of its session, and a full store. Delivering to a session never blocks. The broker has no goroutine
// but that of Run. Bytes of packets are borrowed until the message was routed, and copied where it is stored or waits.
//
// # Lenient and strict
//
// A lenient listener, the default, takes what clients in the field get wrong and does no harm, see [packet.Decoder]; it does not check that payloads which claim to be text are, and acknowledges to a version 3 client a message that
// it may not publish, which is dropped and counted: closing would have it come back for ever. A strict one does none of this.
//
// # Not promised
//
// Without a store sessions end with their connections and nothing is retained; the CONNACK says so. Rights are asked about again when a message is delivered: one that the client may not receive any more is left out. A client
// identifier belongs to the user who has connected with it first, until its session ends.
package mqtt
