package device

import "time"

// Limits bound what devices and applications can make the service keep. For each field zero means the default.
type Limits struct {
	// Devices is how many devices there are at most, declared and seen. Default [DefaultDevices]. A client that would be one more connects, and is no
	// device. Danger of many: each is kept, with its state, until it is removed.
	Devices int
	// ID is the length in bytes of the longest identifier of a device. Default [DefaultID]. A client with a longer one is no device.
	ID int
	// Tags is how many tags a device has at most. Default [DefaultTags].
	Tags int
	// Label is the length in bytes of the longest type or tag. Default [DefaultLabel].
	Label int
	// State is the size in bytes of the largest state of a device: desired and reported with their times, as JSON. Default [DefaultState], most [MaxState]. The state is
	// read and written as a whole with each update.
	State int
	// StateDepth is how deeply a state is nested at most. Default [DefaultStateDepth], most [MaxStateDepth].
	StateDepth int
	// Commands is how many commands of one device may be open: not answered, and not expired. Default [DefaultCommands], most [MaxCommands].
	Commands int
	// Payload is the size in bytes of the largest payload of a command and of its answer. Default [DefaultPayload], most [MaxPayload].
	Payload int
	// Window is how many commands that a device has not answered are sent to it; more wait until one is answered or expires. Default [DefaultWindow], most
	// [MaxWindow].
	Window int
}

// The defaults of [Limits].
const (
	DefaultDevices = 1_000_000
	DefaultID      = 128
	DefaultTags    = 32
	DefaultLabel   = 128

	DefaultState      = 32 << 10
	DefaultStateDepth = 16

	DefaultCommands = 64
	DefaultPayload  = 16 << 10
	DefaultWindow   = 16
)

// The most that can be configured.
const (
	MaxState      = 128 << 10
	MaxStateDepth = 64
	MaxCommands   = 1024
	MaxPayload    = 64 << 10
	MaxWindow     = 64
	// MaxExpiry is how long a command may wait for its answer.
	MaxExpiry = 7 * 24 * time.Hour
)

// Fixed bounds, which have no reason to be configured.
const (
	// maxPatterns bounds the patterns of [Config].IDs and Except, each of which is tried when a client connects.
	maxPatterns = 64
	// maxPage is the most devices that one page of a list has, and maxScanned how many are looked at for it.
	maxPage    = 1000
	maxScanned = 10_000
	// readPage is how many entries are read at a time.
	readPage = 500
	// leavingBatch is how many devices are marked as offline with one commit.
	leavingBatch = 256
	// maxConflicts is how often a change is tried again that somebody else was faster with.
	maxConflicts = 8
	// maxReason bounds the reason of a presence event in bytes.
	maxReason = 200
	// leavingAgain is how long to wait after devices could not be marked as offline, or what doors have told could not be stored.
	leavingAgain = time.Second
	// maxInput is the size in bytes of the largest event that is said to a device's inbox, with what goes around a state.
	maxInput = 256 << 10
	// inboxPartitions is over how many logs the inbox is spread. Each commits its steps one after the other.
	inboxPartitions = 4
	// maxToken bounds the token of a request in bytes.
	maxToken = 64
	// maxCorrelation bounds what of a request comes back in its answer, in bytes.
	maxCorrelation = 1 << 10
	// maxWaiting bounds the callers that wait for an answer.
	maxWaiting = 100_000
	// trimEvery is how often what was handled is removed from the inbox.
	trimEvery = time.Minute
	// storeAgain is how long to wait after the store could not be read.
	storeAgain = time.Second
	// maxMethod bounds the method of a command in bytes, and maxErrorText what is kept of why one has failed.
	maxMethod    = 64
	maxErrorText = 1 << 10
	// keptCommands is how many finished commands of a device can be looked at.
	keptCommands = 32
	// resendFirst and resendMost bound the pause before a command is sent again that the device has not acknowledged.
	resendFirst = 30 * time.Second
	resendMost  = 10 * time.Minute
	// maxEnded is how many commands are ended with one turn, as they have expired or their device was removed.
	maxEnded = 64
	// tickEvery is how often is looked for commands that expire or are to be sent again, and tickBatch how many devices are told so with one commit.
	tickEvery = time.Second
	tickBatch = 256
	// maxNotices bounds what doors have told and is not stored yet. What is beyond it is left out: commands are then sent once more.
	maxNotices   = 65536
	noticesBatch = 256
	// maxRules bounds [Config].Absence, each of which is tried when a device is looked at.
	maxRules = 64
	// MinAbsence is the least [AbsenceRule].After, and absentLooks how many times in that time is looked whether something was heard of an absent device.
	MinAbsence  = time.Second
	absentLooks = 4
	// maxLives is how many starts of the server are known at most: years of them, as what part of its age a gap between two may have is one of livesPart.
	maxLives  = 256
	livesPart = 8
	// DefaultExpiry is how long a command waits for its answer.
	DefaultExpiry = time.Minute
	// DefaultWait is how long is waited for an update of a state.
	DefaultWait = 30 * time.Second
	// DefaultGrace is the default of [Config].Grace.
	DefaultGrace = 30 * time.Second
)

// WithDefaults returns the limits as they are in effect.
func (l Limits) WithDefaults() Limits {
	l.Devices = orDefault(l.Devices, DefaultDevices)
	l.ID = orDefault(l.ID, DefaultID)
	l.Tags = orDefault(l.Tags, DefaultTags)
	l.Label = orDefault(l.Label, DefaultLabel)
	l.State = orDefault(l.State, DefaultState)
	l.StateDepth = orDefault(l.StateDepth, DefaultStateDepth)
	l.Commands = orDefault(l.Commands, DefaultCommands)
	l.Payload = orDefault(l.Payload, DefaultPayload)
	l.Window = orDefault(l.Window, DefaultWindow)
	return l
}

func orDefault[T int | time.Duration](v, otherwise T) T {
	if v <= 0 {
		return otherwise
	}
	return v
}
