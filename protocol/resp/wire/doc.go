// Package wire reads requests and writes replies of the Redis serialization protocol, versions 2 and 3 (RESP2 and
// RESP3, https://redis.io/docs/latest/develop/reference/protocol-spec/). It knows bytes, not connections: package resp
// puts it on the engine.
//
// # Reading
//
// [Reader.Next] takes one request off the front of a buffer. It does not allocate: the arguments are slices of the
// buffer, except those of an inline request that are quoted. It accepts and refuses what Redis 7 does, with the same
// words, with two exceptions that are named at [Limits.Args] and [Reader.Next].
//
// A request that has arrived in part is never parsed from its beginning again: the Reader keeps its place, and the
// work for a request is linear in its length however it was cut into pieces. The Reader is 16 bytes and holds no buffer.
//
// # Writing
//
// The Append functions append one element to a slice and return it, as the built-in append does. A text
// that could end a line early has its line breaks replaced by spaces, as Redis does.
//
// Nothing here is safe for concurrent use. Nothing panics on any input.
package wire
