package event

// Limits on what an event may contain. All of them are reached by outsiders, so every door checks
// them, and a zero field of [Limits] means the default named here, never "no limit".
const (
	// MaxSubjectLength is what MQTT's two-byte length can carry; no configuration may exceed it.
	MaxSubjectLength = 65535

	// DefaultSubjectLength holds every subject seen in practice many times over.
	DefaultSubjectLength = 1024

	// DefaultSubjectLevels bounds the depth of the trie and of the recursion that walks it.
	DefaultSubjectLevels = 128

	// DefaultKeyLength bounds the key, which is kept in indexes and so should be short.
	DefaultKeyLength = 1024

	// DefaultHeaders bounds the number of headers, since looking one up is a linear scan.
	DefaultHeaders = 64

	// DefaultHeaderBytes bounds the names and values of all headers together.
	DefaultHeaderBytes = 16 << 10

	// DefaultDataLength bounds the payload.
	DefaultDataLength = 16 << 20
)

// Limits bounds the parts of an event. The zero value is the defaults.
type Limits struct {
	// SubjectLength is the longest subject or filter in bytes. Default [DefaultSubjectLength],
	// at most [MaxSubjectLength]. Every subscription stores its filter: raising this raises what a client can make the server keep.
	SubjectLength int

	// SubjectLevels is the largest number of levels in a subject or filter. Default
	// [DefaultSubjectLevels]. Matching calls itself once per level that has a wildcard, and filters can be chosen
	// so that each level doubles its work.
	SubjectLevels int

	// KeyLength is the longest key in bytes. Default [DefaultKeyLength].
	KeyLength int

	// Headers is the largest number of headers. Default [DefaultHeaders].
	Headers int

	// HeaderBytes is the largest sum of the lengths of header names and values. Default [DefaultHeaderBytes].
	HeaderBytes int

	// DataLength is the longest payload in bytes. Default [DefaultDataLength]. One event of this
	// size is held in memory whole, and once more for each queue that is not shared.
	DataLength int
}

func (l Limits) subjectLength() int {
	return min(orDefault(l.SubjectLength, DefaultSubjectLength), MaxSubjectLength)
}

func (l Limits) subjectLevels() int { return orDefault(l.SubjectLevels, DefaultSubjectLevels) }

// Data returns the longest payload that is allowed.
func (l Limits) Data() int { return orDefault(l.DataLength, DefaultDataLength) }

func orDefault(n, def int) int {
	if n <= 0 {
		return def
	}
	return n
}
