// Package packet reads and writes the control packets of MQTT 3.1, 3.1.1 and 5.0
// (https://docs.oasis-open.org/mqtt/mqtt/v5.0/mqtt-v5.0.html; sections and clauses in the comments are those of the
// specification of version 5 unless they say otherwise). It knows bytes, not connections: package mqtt puts it on the
// engine.
//
// # Reading
//
// [Decoder.Split] takes one packet off the front of a buffer: it is there whole, or more is needed, or the bytes are
// malformed. The limit of the packet's size is checked as soon as the length has arrived, before anything is
// allocated, and a call costs the same however much of the packet has arrived. The [Frame] that it returns aliases the
// buffer, and is decoded by the method that is named like its type, which checks everything that can be known without
// the state of the session.
//
// What the decoding methods return is a copy and stays valid, with one exception: a [PublishPacket] borrows from the
// buffer, so that decoding it allocates nothing. Topic, Payload and RawProperties are valid until the buffer is
// changed. [PublishPacket.Properties] copies.
//
// What is refused is refused with an [Error], whose Code is the one to close with and whose Reason is a sentence that
// may be sent to the client and written to the log: it quotes nothing of the packet.
//
// A decoder is strict unless told otherwise; [Decoder] lists what a lenient one lets pass. No decoder is lenient about
// lengths, about the encoding of integers, or about UTF-8.
//
// # Writing
//
// The Append functions append one packet to a slice and return it, as the built-in append does, and allocate nothing
// else. They write what the version has and leave out the rest: properties and reason codes in versions before 5, and
// properties that do not belong to the packet. A text or binary field that is longer than the 65 535 bytes which
// its length can say is cut there (a text between two characters), and a packet that would be longer than
// [MaxPacketSize] is not written at all. They do not check texts: one that did not come out of this package is to be
// checked with [ValidText] or [ValidTopic] first.
//
// One message for many subscribers is encoded once: see [PublishHead].
//
// Values of this package are not safe for concurrent use while one of the users writes. Nothing panics on any input.
package packet
