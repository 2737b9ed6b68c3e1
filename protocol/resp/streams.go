package resp

import (
	"context"
	"errors"

	"github.com/spate-io/spate/auth"
	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/protocol/resp/wire"
	"github.com/spate-io/spate/protocol/resp/xstream"
	"github.com/spate-io/spate/store"
)

// storeError makes a reply of what is wrong with a stream.
func storeError(err error) Error {
	if text, ok := errors.AsType[xstream.Error](err); ok {
		return Error(text)
	}
	if text, ok := errors.AsType[Error](err); ok {
		return text
	}
	switch {
	case errors.Is(err, store.ErrFull):
		return "MISCONF the disk of the server is full: nothing is stored until there is room. Reading goes on."
	case errors.Is(err, store.ErrFailed):
		return "MISCONF the server cannot write to its disk: nothing is stored until it is started again. Its log says why."
	case errors.Is(err, store.ErrClosed):
		return "ERR the server is shutting down and stores nothing more"
	}
	for _, why := range []error{event.ErrEmpty, event.ErrTooLong, event.ErrTooDeep, event.ErrNotText, event.ErrWildcard} {
		if errors.Is(err, why) {
			return Error("ERR invalid subject or event: " + err.Error())
		}
	}
	return Error("ERR " + err.Error())
}

// mayKeys asks whether the user may write to, or read, the streams at keys, and replies if not.
func (r *Request) mayKeys(action auth.Action, keys ...[]byte) bool {
	if r.proto.streams == nil {
		r.fail(string(errNoStreams))
		return false
	}
	for _, key := range keys {
		if err := event.ValidateSubjectBytes(key, event.Limits{SubjectLength: event.MaxSubjectLength}); err != nil {
			r.fail(string(subjectError("subject", view(key), err)))
			return false
		}
		if action == auth.ActionPublish && bus.Reserved(view(key)) {
			r.fail("ERR " + bus.ErrReserved.Error())
			return false
		}
		if r.sess.is(stateOpen) || action == auth.ActionPublish && r.proto.auth.CanPublish(r.sess.id, view(key)) {
			continue
		}
		if err := r.authorize(action, string(key)); err != nil {
			r.deny(err, errKey)
			return false
		}
	}
	return true
}

// writes is the Run of a command that changes the stream at its key, the first argument, and reads of one that looks at it, whose key
// is the argument at that place.
func writes(run func(ctx context.Context, r *Request, key []byte) error) runFunc {
	return onKey(auth.ActionPublish, 1, run)
}

func reads(place int, run func(ctx context.Context, r *Request, key []byte) error) runFunc {
	return onKey(auth.ActionSubscribe, place, run)
}

func onKey(action auth.Action, place int, run func(ctx context.Context, r *Request, key []byte) error) runFunc {
	return func(ctx context.Context, r *Request) error {
		key := r.args[place]
		if !r.mayKeys(action, key) {
			return nil
		}
		if err := run(ctx, r, key); err != nil {
			return storeError(err)
		}
		return nil
	}
}

// needs fails if there is no such key.
func (r *Request) needs(ctx context.Context, key []byte, missing error) error {
	is, err := r.proto.streams.Exists(ctx, key)
	if err == nil && !is {
		return missing
	}
	return err
}

// id reads an argument as the ID of an entry.
func (r *Request) id(i int) (xstream.ID, error) {
	id, ok := xstream.ParseID(r.args[i], 0)
	if !ok {
		return id, errStreamID
	}
	return id, nil
}

// ids reads all arguments from i on as IDs.
func (r *Request) ids(i int) ([]xstream.ID, error) {
	ids := make([]xstream.ID, 0, len(r.args)-i)
	for ; i < len(r.args); i++ {
		id, err := r.id(i)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// replyID replies with an ID.
func (r *Request) replyID(id xstream.ID) {
	var text [41]byte
	r.Bulk(id.Append(text[:0]))
}

// appendEntry appends an entry: its ID, and its fields, or null if it is not there any more.
func (r *Request) appendEntry(dst []byte, e xstream.Entry) []byte {
	var text [41]byte
	dst = wire.Bulk(wire.Header(dst, '*', 2), e.ID.Append(text[:0]))
	if e.Event == nil {
		if r.resp3 {
			return wire.Null(dst)
		}
		return wire.NullArray(dst)
	}
	fields := xstream.Fields(e.Event)
	dst = wire.Header(dst, '*', len(fields))
	for _, f := range fields {
		dst = wire.Bulk(dst, f)
	}
	return dst
}

// entrySize is what appendEntry adds to the bytes of an event, about.
func entrySize(e *event.Event) int {
	const perHeader = 64
	return e.Size() + perHeader*len(e.Headers)
}

// An entryList collects entries for a reply. Release its body.
type entryList struct {
	body
	n int
}

// add appends an entry, or says why there is no room.
func (l *entryList) add(r *Request, e xstream.Entry) error {
	size := bulkFrame * 2
	if e.Event != nil {
		size += entrySize(e.Event)
	}
	l.most = streamReply
	if err := l.reserve(r.proto, size); err != nil {
		return err
	}
	l.b = r.appendEntry(l.b, e)
	l.n++
	return nil
}

// reply replies with the entries.
func (l *entryList) reply(r *Request) {
	r.Array(l.n)
	r.elements(l.n, l.b)
}

// replyEntries replies with entries that are at hand.
func (r *Request) replyEntries(entries []xstream.Entry) {
	r.Array(len(entries))
	for _, e := range entries {
		r.want--
		r.out = r.appendEntry(r.out, e)
		r.spill()
	}
}
