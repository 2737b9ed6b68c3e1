// Package xstream is Redis streams on a bus, without the wire: entries and their IDs, ranges, trimming, consumer groups with what is
// pending, and waiting. Package resp parses the requests and writes the replies.
//
// # Keys, streams, partitions
//
// A key is a subject. Its entries are the events of that subject in the stream that captures it; if several do, in the one that was created first, so that a stream
// which is added later takes no key over. There they are in the partition to which the subject belongs; events that have a key of their own, or that
// a stream spreads by a header, may be in other partitions, and are then not among the entries. A key that no stream captures gets one of its own when
// [Options].Create allows it: of the key's name, with one partition. It can be configured later like any other stream.
//
// What is kept of a key belongs to that stream, and is gone with it: another stream that is made with the same name begins with nothing.
//
// # What it costs
//
// In a stream that is the key's own (it captures nothing else, and never has, in one partition) an ID is found by binary search, and the length is known. In a partition that is shared with other subjects an index in memory says
// which records are whose. It is made in blocks of 1024 records, when somebody first needs them, by one pass over the partition for all its keys together: about as
// long as reading it takes (at a million records a second), for the first key that is used after a start. Half of the processors at most do that at a time, and
// a client that is gone, or a server that is closing, ends its part in it. From then on opening a key costs a look at each block (15 µs for 100 000 records, BenchmarkFirstUse), and
// reading a range costs its entries, not those between them. The index takes 8 bytes for each record, [Limits].Index bounds it, and the oldest blocks make room. Trimming a
// stream of the key's own from which single entries were deleted reads what it removes.
//
// # Fields and events
//
// XADD makes an event of its fields, with the header "redis-entry", which says how they are written:
//
//   - "data": there is one field, called data; its value is the data of the event.
//   - "json": the data is a JSON object of strings in the order of the fields, and the content-type says so.
//   - "binary": each name and value behind its length as a varint. That is for what JSON cannot say: bytes that are not UTF-8, and names that come twice.
//
// An event that was published by other means has the fields data, id, time (RFC 3339), key if it has one, and one "header:NAME" for each
// header. Nothing is lost either way.
//
// # IDs
//
// The ID of an entry is the time at which it was stored in milliseconds, and the offset at which it is: both only ever grow, and neither needs to be
// remembered. An ID that was given is in the header "redis-id", with the key. Where it is given an ID ahead of the clock, what is added to that key by XADD * gets an ID that is
// given too, and what other doors publish gets the next ID, which is kept in the state of the store. An ID that is given is compared with
// what is stored at that moment; an event that another door stores at the same time may end up before it.
//
// # Durability and order
//
// An entry, and every change of a group, is acknowledged when it is on disk. Adding does not wait: [Set.Add] submits, and entries that are
// submitted together share an fsync. The state of a group is changed in memory first, and a command that looks at it may see what is
// not on disk yet; what is built on it is stored after it. When a commit fails, what is in memory is thrown away and loaded again. Entries of one key are stored in the order in which
// they were added.
//
// Retention of the stream removes entries without telling anybody: the last ID of a key that lost all of them so is forgotten with a
// restart, unless it was given.
//
// # Blocking and ownership
//
// Methods wait for the disk, except Add and the reading ones. [Watch.Wait] waits for entries, without a goroutine of its own. What Add is given is copied; what comes out must
// not be changed.
//
// # Not promised
//
// The totals of [Limits] are counted with the first command after a start, from what is stored, which it waits for: 0.3 s for 500 000 pending entries. A stream that is removed while a command changes one of its keys
// fails that command.
//
// Clients that wait for entries of one group are not served in the order in which they came. MAXLEN ~ and MINID ~ remove whole hundreds, counted from the first entry, where Redis counts its nodes.
package xstream
