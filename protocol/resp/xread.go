package resp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/spate-io/spate/auth"
	"github.com/spate-io/spate/protocol/resp/wire"
	"github.com/spate-io/spate/protocol/resp/xstream"
)

func runXLen(ctx context.Context, r *Request, key []byte) error {
	n, err := r.proto.streams.Len(ctx, key)
	r.Integer(n)
	return err
}

func runXRange(ctx context.Context, r *Request, key []byte) error {
	return r.xrange(ctx, key, 2, 3)
}

func runXRevRange(ctx context.Context, r *Request, key []byte) error {
	return r.xrange(ctx, key, 3, 2)
}

// interval reads the ends of a range.
func (r *Request) interval(start, end int) (from, to xstream.ID, err error) {
	var ok bool
	from, exclusive, err := r.bound(start, 0)
	if err != nil {
		return from, to, err
	}
	if exclusive {
		if from, ok = from.Next(); !ok {
			return from, to, Error("ERR invalid start ID for the interval")
		}
	}
	if to, exclusive, err = r.bound(end, math.MaxUint64); err != nil {
		return from, to, err
	}
	if exclusive {
		if to, ok = to.Prev(); !ok {
			return from, to, Error("ERR invalid end ID for the interval")
		}
	}
	return from, to, nil
}

// bound reads one end of a range: an ID, "(" and an ID, "-" or "+".
func (r *Request) bound(i int, missing uint64) (id xstream.ID, exclusive bool, err error) {
	text := r.args[i]
	switch {
	case string(text) == "-":
		return id, false, nil
	case string(text) == "+":
		return xstream.MaxID, false, nil
	case len(text) > 1 && text[0] == '(':
		text, exclusive = text[1:], true
	}
	id, ok := xstream.ParseID(text, missing)
	if !ok {
		return id, false, errStreamID
	}
	return id, exclusive, nil
}

func (r *Request) xrange(ctx context.Context, key []byte, start, end int) (err error) {
	q := xstream.Range{Reverse: end < start, Count: -1}
	if q.Start, q.End, err = r.interval(start, end); err != nil {
		return err
	}
	for i := 4; i < len(r.args); i += 2 {
		if !sameFold(r.args[i], "count") || i+1 == len(r.args) {
			return errSyntax
		}
		if q.Count, err = r.Int(i + 1); err != nil {
			return err
		}
		q.Count = max(q.Count, 0)
	}
	var list entryList
	defer list.release()
	var full error
	exists, err := r.proto.streams.Range(ctx, key, q, func(e xstream.Entry) bool {
		full = list.add(r, e)
		return full == nil
	})
	switch {
	case err != nil:
		return err
	case full != nil:
		return Error(fmt.Sprintf("ERR the reply would be too long: %s. Ask for fewer entries, with COUNT", full))
	case exists && q.Count == 0:
		r.NullArray()
	default:
		list.reply(r)
	}
	return nil
}

// A streamRead is what XREAD and XREADGROUP ask for.
type streamRead struct {
	keys            [][]byte
	ids             int // the argument of the first ID
	after           []xstream.ID
	fresh           []bool // ">" instead of an ID
	count           int64
	block           time.Duration // negative: do not wait; 0: for ever
	group, consumer []byte
	noAck           bool
}

func runXRead(ctx context.Context, r *Request) error      { return r.xread(ctx, false) }
func runXReadGroup(ctx context.Context, r *Request) error { return r.xread(ctx, true) }

func (r *Request) xread(ctx context.Context, grouped bool) error {
	q, err := r.parseRead(grouped)
	if err != nil {
		return err
	}
	if !r.mayKeys(auth.ActionSubscribe, q.keys...) {
		return nil
	}
	if err := r.parsePlaces(ctx, q); err != nil {
		return storeError(err)
	}
	done, err := r.readOnce(ctx, q)
	if err == nil && !done && q.block >= 0 {
		err = r.park(q)
	} else if err == nil && !done {
		r.NullArray()
	}
	if err != nil {
		return storeError(err)
	}
	return nil
}

// parseRead reads the options.
func (r *Request) parseRead(grouped bool) (q *streamRead, err error) {
	q = &streamRead{block: -1}
	for i := 1; i < len(r.args) && q.keys == nil; i++ {
		opt, more := r.args[i], len(r.args)-1-i
		switch {
		case more > 0 && sameFold(opt, "block"):
			i++
			q.block, err = r.timeout(i)
		case more > 0 && sameFold(opt, "count"):
			i++
			q.count, err = r.Int(i)
			q.count = max(q.count, 0)
		case more > 0 && sameFold(opt, "streams"):
			if more%2 == 1 {
				return q, Error("ERR Unbalanced XREAD list of streams: for each stream key an ID or '$' must be specified.") // also of XREADGROUP
			}
			q.keys, q.ids = r.args[i+1:i+1+more/2], i+1+more/2
		case more >= 2 && sameFold(opt, "group"):
			if !grouped {
				return q, Error("ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead.")
			}
			q.group, q.consumer = r.args[i+1], r.args[i+2]
			i += 2
		case sameFold(opt, "noack"):
			if !grouped {
				return q, Error("ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead.")
			}
			q.noAck = true
		default:
			err = errSyntax
		}
		if err != nil {
			return q, err
		}
	}
	switch {
	case q.keys == nil:
		return q, errSyntax
	case grouped && q.group == nil:
		return q, Error("ERR Missing GROUP option for XREADGROUP")
	}
	return q, nil
}

// timeout reads how many milliseconds to wait.
func (r *Request) timeout(i int) (time.Duration, error) {
	ms, err := r.Int(i)
	switch {
	case err != nil:
		return 0, errTimeout
	case ms < 0:
		return 0, errNegative
	}
	return time.Duration(min(ms, math.MaxInt64/int64(time.Millisecond))) * time.Millisecond, nil
}

// parsePlaces reads where to begin in each stream.
func (r *Request) parsePlaces(ctx context.Context, q *streamRead) error {
	if len(q.keys) > readKeys {
		return Error(fmt.Sprintf("ERR one request may read %d keys at most, not %d", readKeys, len(q.keys)))
	}
	q.after, q.fresh = make([]xstream.ID, len(q.keys)), make([]bool, len(q.keys))
	for i, key := range q.keys {
		if q.group != nil {
			err := r.proto.streams.Check(ctx, key, q.group)
			if errors.Is(err, xstream.ErrNoGroup) {
				return Error(fmt.Sprintf("NOGROUP No such key '%s' or consumer group '%s' in XREADGROUP with GROUP option", cstring(key), cstring(q.group)))
			}
			if err != nil {
				return err
			}
		}
		if err := r.parsePlace(ctx, q, i); err != nil {
			return err
		}
	}
	return nil
}

// cstring is what C's %s prints of text.
func cstring(text []byte) []byte { return cut(text, len(text)) }

func (r *Request) parsePlace(ctx context.Context, q *streamRead, i int) (err error) {
	switch text := string(r.args[q.ids+i]); {
	case text == "$" && q.group != nil:
		return Error("ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by specifying a proper ID, " +
			"or use the > ID to get new messages. The $ ID would just return an empty result set.")
	case text == "$":
		q.after[i], err = r.proto.streams.Last(ctx, q.keys[i])
		return err
	case text == ">" && q.group == nil:
		return Error("ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.")
	case text == ">":
		q.fresh[i] = true
		return nil
	}
	q.after[i], err = r.id(q.ids + i)
	q.fresh[i] = q.group != nil && q.after[i] == xstream.MaxID // which is what Redis makes of ">"
	return err
}

// readOnce replies with what there is, and reports whether there is anything. All that one reply holds is bounded: who wants the rest asks
// again.
func (r *Request) readOnce(ctx context.Context, q *streamRead) (done bool, err error) {
	var reply []byte
	n := 0
	left, release := r.proto.grant(readMost)
	defer release()
	for i, key := range q.keys {
		entries, found, err := r.readStream(ctx, q, i, left)
		if err != nil && n == 0 {
			return false, err
		}
		if !found || err != nil {
			continue
		}
		n++
		if !r.resp3 {
			reply = wire.Header(reply, '*', 2)
		}
		reply = wire.Bulk(reply, key)
		reply = wire.Header(reply, '*', len(entries))
		for _, e := range entries {
			if e.Event != nil {
				left -= entrySize(e.Event)
			}
			reply = r.appendEntry(reply, e)
		}
		left = max(left, 0)
	}
	if n == 0 {
		return false, nil
	}
	if r.resp3 {
		r.Map(n)
		r.elements(2*n, reply)
	} else {
		r.Array(n)
		r.elements(n, reply)
	}
	return true, nil
}

// readStream reads from one of the streams. Found tells whether the reply mentions it.
func (r *Request) readStream(ctx context.Context, q *streamRead, i, most int) (entries []xstream.Entry, found bool, err error) {
	s := r.proto.streams
	if q.group != nil {
		entries, err = s.Deliver(ctx, q.keys[i], xstream.Delivery{
			Group: q.group, Consumer: q.consumer, New: q.fresh[i], After: q.after[i], Count: q.count, Bytes: most, NoAck: q.noAck,
		})
		return entries, entries != nil, err
	}
	from, ok := q.after[i].Next()
	if !ok || most == 0 {
		return nil, false, nil
	}
	count := q.count
	if count == 0 {
		count = -1
	}
	_, err = s.Range(ctx, q.keys[i], xstream.Range{Start: from, End: xstream.MaxID, Count: count}, func(e xstream.Entry) bool {
		entries = append(entries, e)
		most -= entrySize(e.Event)
		return most > 0
	})
	return entries, len(entries) > 0, err
}

// park has the session wait until there is something to reply, the time is up, or the connection ends.
func (r *Request) park(q *streamRead) error {
	q.keep()
	watch, err := r.proto.streams.Watch(q.keys)
	if err != nil {
		return err
	}
	r.want = 0
	r.parking = &parking{name: r.cmd, release: watch.Close, wait: func(ctx context.Context, r *Request) error {
		if q.block > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, q.block)
			defer cancel()
		}
		return r.await(ctx, q, watch)
	}}
	return nil
}

// keep copies what points into the read buffer.
func (q *streamRead) keep() {
	q.group, q.consumer = bytes.Clone(q.group), bytes.Clone(q.consumer)
	keys := make([][]byte, len(q.keys))
	for i, key := range q.keys {
		keys[i] = bytes.Clone(key)
	}
	q.keys = keys
}

// await replies with entries once there are some.
func (r *Request) await(ctx context.Context, q *streamRead, watch *xstream.Watch) error {
	for {
		mark, err := watch.Mark(ctx)
		if err != nil && ctx.Err() == nil {
			return err
		}
		if !r.mayKeys(auth.ActionSubscribe, q.keys...) { // the right may have been withdrawn meanwhile
			return nil
		}
		done, err := r.readOnce(ctx, q)
		switch {
		case errors.Is(err, xstream.ErrNoGroup):
			return r.unblocked(ctx, q)
		case err != nil && ctx.Err() == nil:
			return err
		case done:
			return nil
		}
		if watch.Wait(ctx, mark) != nil {
			r.NullArray()
			return nil
		}
	}
}

// unblocked says why a client that waits for entries of a group need not wait any longer.
func (r *Request) unblocked(ctx context.Context, q *streamRead) error {
	for _, key := range q.keys {
		if is, err := r.proto.streams.Exists(ctx, key); err == nil && !is {
			return Error("UNBLOCKED the stream key no longer exists")
		}
	}
	return Error("NOGROUP the consumer group this client was blocked on no longer exists")
}
