// Package device keeps what is known of devices: which there are, whether they are connected, and since when.
//
// A device is a client with an identifier of its own, one level of a subject. All that is said to it, by it and about it is below "$devices/{id}/", which
// filters that begin with a wildcard do not select. The registry, [Service.Get] and the others, is filled by what connects and by [Service.Declare].
//
// # Presence
//
// A door tells [Service.Connected] and [Service.Disconnected] about each connection. Each connection of a device has a greater epoch than all before
// it, also across restarts, crashes, and the removal of the device. The registry and the event on "$devices/{id}/presence" are changed in one
// commit: see [Presence]. Of one device, presence events come in the order of their epochs. That a connection has ended counts only while no later one has begun, so a will or
// a disconnection that comes late never marks a device as offline that is connected again; then there is no offline event between two online ones. A device that was connected when the
// server was killed, and does not come back within [Config].Grace, is marked as offline then.
//
// # State
//
// A device has a state of two documents: what it should be, desired, and what it says that it is, reported. Updates are JSON merge patches (RFC 7396), from
// either side, over topics or [Service.UpdateState]; docs/devices.md describes the topics. Updates of one device are done one after the other, in the order in which they were
// stored; who publishes one is acknowledged once it is on disk, and it is done exactly once, across crashes: the new state, its version and what
// is told of it are committed together. The difference of the two is told to the device when an update asks for something, when it has become another, and once on each
// connection on which the device hears it, unless its session kept it. A [Update].Version that is not that of the state is rejected.
// What is said to a device and cannot be handled is rejected or skipped; only errors of the store are tried again.
//
// # Commands
//
// [Service.Call] and [Service.Send] ask a device to do something. A command is queued, sent, delivered, and then done, failed or expired, each durable before it is
// told. It is published on "$devices/{id}/commands/{command}/request/{method}", with the subject for the answer and the identifier of the command, which is that of the
// event, as reply-to and correlation-data; the device answers on …/response or …/error. An answer may come before the acknowledgement.
//
// Commands are sent in the order in which they were stored, without waiting for each other's answers, up to [Limits].Window of them; so one that is stuck holds up neither other devices nor, until
// the window is full of such, later ones, and it ends when it expires. They are sent once the device has subscribed, or has resumed a session that has, and wait again when it has unsubscribed. One that was declared, never connected
// and reports its state nevertheless listens in another way, and is sent them at once. Ordinarily one copy
// is sent; what was not acknowledged is sent again when the device has subscribed on a new connection without its old session, and after half a minute and more, in order. A device sees the first copies in order, and tells copies by the identifier. What was acknowledged is not sent again.
//
// # Absence
//
// A device that an [AbsenceRule] selects is absent when nothing was heard of it for the time of the rule, connected or not: that is told once on "$devices/{id}/absent", and
// on "…/present" once it is heard again. Heard is a connection and its end, if the device has ended it, what [Options].LastHeard says, and what the device reports of its state. It is found out
// within two seconds; that a device which stayed connected is heard again, within a quarter of the time and two seconds. Both survive restarts: an absence that begins while the server is
// down is told after the start, none is told twice, and a device that was connected when the server stopped, and not absent, is given the time anew. The time of one that is
// connected is at least one and a half times its keep-alive, for which it may be healthy and silent.
//
// # Blocking
//
// Connected waits for a commit, which it shares with all that connect at the time. Disconnected never waits: what it tells is committed soon, many devices at a
// time, by [Service.Run]. UpdateState waits for two. Nothing is done for a message that is not for this package. A device that is connected and idle takes no memory here, or a few dozen bytes if a rule selects it.
//
// # Not promised
//
// One process keeps the devices of a store. LastSeen of a device that is connected is what [Options].LastHeard says; what is stored is when it connected, or was heard before it went.
package device
