// Package event holds what every other part of Spate agrees on: the [Event], the subject that
// names what it is about, the [Filter] that selects subjects, and the [Trie] that finds the
// filters which match a subject.
//
// # Subjects and filters
//
// A subject is one or more levels separated by '/'. A filter is a subject in which a level may be
// '+' (exactly one level) and the last level may be '#' (any number of levels, also none, so
// that "a/#" matches "a"). The rules are those of MQTT 5.0, section 4.7: an empty level is a
// level ("/a" has two), matching compares bytes and so distinguishes case, and a leading wildcard
// does not match a subject that begins with '$'. Both are UTF-8 without U+0000. Their length and
// their number of levels are bounded by [Limits], which is checked before anything else looks
// at the text.
//
// # Trie
//
// Reading a [Trie] or a [Set] ([Trie.Match], [Trie.Count], [Trie.Walk]) takes no lock, never waits and does
// not allocate. Writing takes one lock that only writers know. Matching is not a snapshot of the
// whole trie; for each value it promises:
//
//   - a value that was added before the match began and is not removed before it ends is yielded,
//   - and is yielded exactly once for each of its filters that matches, whatever is added or
//     removed meanwhile,
//   - a value whose removal returned before the match began is not yielded.
//
// The order in which values are yielded is not promised. Adding and removing cost the same with
// one value on a filter and with a hundred thousand, apart from an occasional doubling that is paid for by the
// additions before it. A filter that loses its last value gives back the memory of every level
// that nobody else uses.
//
// # Ownership
//
// Nothing here keeps what it is given, except that a [Trie] copies the levels of a filter and keeps
// the value. An [Event] is passed by pointer and is not changed by anybody but its
// publisher; whoever wants it for longer than the documented time calls [Event.Clone].
//
// # Identifiers
//
// An [ID] is a UUID of version 7 (RFC 9562): 48 bits of Unix milliseconds first, so that the bytes and the
// text both sort by time; every database, language and log viewer already knows the form, which
// is what decided against a shorter alphabet of our own. IDs of one [Generator] increase
// strictly, also between goroutines and also when the clock steps back. IDs are unique, not secret.
package event
