// Package stream turns a store into named streams that capture what is published.
//
// A stream is a log in a number of partitions. Its filters say which subjects it captures: publishing to one of them is
// acknowledged once the event is stored, in every stream that captures it, in one commit. A [Log] is all streams of a
// store.
//
// # Order
//
// The key of an event decides its partition, so that events of one key keep their order and those of different keys can be handled
// beside each other. The key is the event's own, or else what [Config].Key names: the subject, a level of it, or a
// header. The number of partitions cannot be changed, since the keys would be spread anew.
//
// # Delivery and durability
//
// What a [Store] promises about batches, see package store. [Config].Durability may promise less for a stream; it is
// said in the log when the stream is opened. Events that a dedupe window knows are acknowledged and left out.
//
// # Identity
//
// A name can be used again after its stream was removed, and offsets begin at 0 then. [Stream.ID] tells the two apart: who keeps an offset outside of
// the store keeps the ID beside it.
//
// # Retention
//
// Records beyond the limits of a stream (age, bytes, count, each for a partition) are removed from the front by [Log.Run],
// every few seconds, so a stream may hold more for a moment. Nothing waits for slow consumers: one that falls behind the
// first record goes on from there, and sees in the offsets what it has missed.
//
// # Not promised
//
// Events of different partitions have no order. A change of filters does not touch what was captured before.
//
// [Store]: https://pkg.go.dev/github.com/spate-io/spate/store#Store
package stream
