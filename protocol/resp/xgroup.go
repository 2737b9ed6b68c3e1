package resp

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/spate-io/spate/auth"
	"github.com/spate-io/spate/protocol/resp/xstream"
)

// noGroup puts the names into the error about a group that is not there.
func noGroup(err error, format string, first, second []byte) error {
	if errors.Is(err, xstream.ErrNoGroup) {
		return Error("NOGROUP " + fmt.Sprintf(format, cstring(first), cstring(second)))
	}
	return err
}

// How the error about a group that is not there goes on.
const (
	noKeyOrGroup = "No such key '%s' or consumer group '%s'"
	noGroupAtKey = "No such consumer group '%s' for key name '%s'"
)

// groupOptions are those of XGROUP CREATE and SETID.
type groupOptions struct {
	mkStream bool
	read     int64
}

func (r *Request) groupOptions(create bool) (o groupOptions, err error) {
	o.read = xstream.UnknownRead
	for i := 5; i < len(r.args); i++ {
		switch {
		case create && sameFold(r.args[i], "mkstream"):
			o.mkStream = true
		case sameFold(r.args[i], "entriesread") && i+1 < len(r.args):
			i++
			if o.read, err = r.Int(i); err != nil {
				return o, err
			}
			if o.read < xstream.UnknownRead {
				return o, Error("ERR value for ENTRIESREAD must be positive or -1")
			}
		default:
			return o, r.subSyntax()
		}
	}
	return o, nil
}

// subSyntax is what Redis says about a subcommand that it cannot read.
func (r *Request) subSyntax() Error {
	return Error(fmt.Sprintf("ERR unknown subcommand or wrong number of arguments for '%s'. Try %s HELP.", cut(r.args[1], shownArgs), upper(r.args[0])))
}

func upper(name []byte) string {
	b := make([]byte, len(name))
	for i, c := range name {
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		b[i] = c
	}
	return string(b)
}

// groupPlace reads where a group begins.
func (r *Request) groupPlace() (at xstream.Place, err error) {
	if string(r.args[4]) == "$" {
		return xstream.Place{End: true}, nil
	}
	at.ID, err = r.id(4)
	return at, err
}

func runXGroupCreate(ctx context.Context, r *Request, key []byte) error {
	o, err := r.groupOptions(true)
	if err != nil {
		return err
	}
	if !o.mkStream {
		if err := r.needs(ctx, key, xstream.ErrNeedsKey); err != nil {
			return err
		}
	} else if !r.mayKeys(auth.ActionPublish, key) {
		return nil
	}
	at, err := r.groupPlace()
	if err != nil {
		return err
	}
	if err := r.proto.streams.CreateGroup(ctx, key, r.args[3], at, o.read, o.mkStream); err != nil {
		return err
	}
	r.OK()
	return nil
}

func runXGroupSetID(ctx context.Context, r *Request, key []byte) error {
	o, err := r.groupOptions(false)
	if err != nil {
		return err
	}
	at, failed := r.groupPlace()
	if failed != nil { // which Redis notices only when there is such a group
		at.ID = xstream.ID{}
		if err := r.proto.streams.CheckX(ctx, key, r.args[3]); err != nil {
			return noGroup(err, noGroupAtKey, r.args[3], key)
		}
		return failed
	}
	if err := r.proto.streams.SetGroupID(ctx, key, r.args[3], at, o.read); err != nil {
		return noGroup(err, noGroupAtKey, r.args[3], key)
	}
	r.OK()
	return nil
}

func runXGroupDestroy(ctx context.Context, r *Request, key []byte) error {
	was, err := r.proto.streams.DestroyGroup(ctx, key, r.args[3])
	r.Integer(int64(boolBit(was)))
	return err
}

func runXGroupCreateConsumer(ctx context.Context, r *Request, key []byte) error {
	made, err := r.proto.streams.CreateConsumer(ctx, key, r.args[3], r.args[4])
	r.Integer(int64(boolBit(made)))
	return noGroup(err, noGroupAtKey, r.args[3], key)
}

func runXGroupDelConsumer(ctx context.Context, r *Request, key []byte) error {
	n, err := r.proto.streams.DropConsumer(ctx, key, r.args[3], r.args[4])
	r.Integer(int64(n))
	return noGroup(err, noGroupAtKey, r.args[3], key)
}

func runXAck(ctx context.Context, r *Request, key []byte) error {
	err := r.proto.streams.Check(ctx, key, r.args[2])
	if errors.Is(err, xstream.ErrNoGroup) {
		r.Integer(0)
		return nil
	}
	if err != nil {
		return err
	}
	ids, err := r.ids(3)
	if err != nil {
		return err
	}
	n, err := r.proto.streams.Ack(ctx, key, r.args[2], ids)
	if errors.Is(err, xstream.ErrNoGroup) {
		err = nil
	}
	r.Integer(int64(n))
	return err
}

func runXPending(ctx context.Context, r *Request, key []byte) error {
	if len(r.args) == 3 {
		return r.pendingSummary(ctx, key)
	}
	if len(r.args) < 6 || len(r.args) > 9 {
		return errSyntax
	}
	q := xstream.PendingRange{Group: r.args[2]}
	at := 3
	var err error
	if sameFold(r.args[3], "idle") {
		if q.MinIdle, err = r.Int(4); err != nil {
			return err
		}
		if len(r.args) < 8 {
			return errSyntax
		}
		at = 5
	}
	if q.Count, err = r.Int(at + 2); err != nil {
		return err
	}
	if q.Start, q.End, err = r.interval(at, at+1); err != nil {
		return err
	}
	if at+3 < len(r.args) {
		q.Consumer = r.args[at+3]
	}
	got, release := r.proto.grant(streamReply)
	defer release()
	q.Most = got / xstream.ListedSize
	list, err := r.proto.streams.PendingEntries(ctx, key, q)
	if err != nil {
		return noGroup(err, noKeyOrGroup, key, r.args[2])
	}
	now := r.proto.clock().UnixMilli()
	r.Array(len(list))
	for _, p := range list {
		r.spill()
		r.Array(4)
		r.replyID(p.ID)
		r.BulkString(p.Consumer)
		r.Integer(max(now-p.At, 0))
		r.Integer(int64(p.Count))
	}
	return nil
}

func (r *Request) pendingSummary(ctx context.Context, key []byte) error {
	sum, err := r.proto.streams.Pending(ctx, key, r.args[2])
	if err != nil {
		return noGroup(err, noKeyOrGroup, key, r.args[2])
	}
	r.Array(4)
	r.Integer(int64(sum.Total))
	if sum.Total == 0 {
		r.Null()
		r.Null()
		r.NullArray()
		return nil
	}
	r.replyID(sum.First)
	r.replyID(sum.Last)
	r.Array(len(sum.Consumers))
	for _, c := range sum.Consumers {
		r.spill()
		r.Array(2)
		r.BulkString(c.Name)
		r.BulkString(fmt.Sprint(c.Pending))
	}
	return nil
}

// minIdle reads the argument that XCLAIM and XAUTOCLAIM have at place 4.
func (r *Request) minIdle() (int64, error) {
	n, err := r.Int(4)
	if err != nil {
		return 0, Error("ERR Invalid min-idle-time argument for " + upper([]byte(r.cmd.name)))
	}
	return max(n, 0), nil
}

func runXClaim(ctx context.Context, r *Request, key []byte) error {
	if err := r.proto.streams.Check(ctx, key, r.args[2]); err != nil {
		return noGroup(err, noKeyOrGroup, key, r.args[2])
	}
	q := xstream.Claim{Group: r.args[2], Consumer: r.args[3], At: xstream.ClaimNow, Count: -1}
	var err error
	if q.MinIdle, err = r.minIdle(); err != nil {
		return err
	}
	i := 5
	for ; i < len(r.args); i++ {
		id, ok := xstream.ParseID(r.args[i], 0)
		if !ok {
			break
		}
		q.IDs = append(q.IDs, id)
	}
	if err := r.claimOptions(&q, i); err != nil {
		return err
	}
	var release func()
	q.Bytes, release = r.proto.grant(readMost)
	defer release()
	entries, err := r.proto.streams.Claim(ctx, key, q)
	if err != nil {
		return noGroup(err, noKeyOrGroup, key, r.args[2])
	}
	r.replyClaimed(entries, q.JustID)
	return nil
}

func (r *Request) claimOptions(q *xstream.Claim, i int) (err error) {
	now := r.proto.clock().UnixMilli()
	number := func(name string) (n int64) {
		i++
		if n, err = r.Int(i); err != nil {
			err = Error("ERR Invalid " + name + " option argument for XCLAIM")
		}
		return n
	}
	for ; i < len(r.args) && err == nil; i++ {
		switch opt, more := r.args[i], i+1 < len(r.args); {
		case sameFold(opt, "force"):
			q.Force = true
		case sameFold(opt, "justid"):
			q.JustID = true
		case more && sameFold(opt, "idle"):
			q.At = now - number("IDLE")
		case more && sameFold(opt, "time"):
			q.At = number("TIME")
		case more && sameFold(opt, "retrycount"):
			q.Count = number("RETRYCOUNT")
		case more && sameFold(opt, "lastid"):
			i++
			q.Last, err = r.id(i)
		default:
			err = Error(fmt.Sprintf("ERR Unrecognized XCLAIM option '%s'", cstring(opt)))
		}
	}
	return err
}

func (r *Request) replyClaimed(entries []xstream.Entry, justID bool) {
	if !justID {
		r.replyEntries(entries)
		return
	}
	r.Array(len(entries))
	for _, e := range entries {
		r.replyID(e.ID)
		r.spill()
	}
}

func runXAutoClaim(ctx context.Context, r *Request, key []byte) error {
	q := xstream.AutoClaim{Group: r.args[2], Consumer: r.args[3], Count: 100}
	var err error
	if q.MinIdle, err = r.minIdle(); err != nil {
		return err
	}
	var exclusive bool
	if q.Start, exclusive, err = r.bound(5, 0); err != nil {
		return err
	}
	if exclusive {
		var ok bool
		if q.Start, ok = q.Start.Next(); !ok {
			return Error("ERR invalid start ID for the interval")
		}
	}
	for i := 6; i < len(r.args); i++ {
		switch {
		case i+1 < len(r.args) && sameFold(r.args[i], "count"):
			i++
			const most = math.MaxInt64 / 16
			if q.Count, err = r.Int(i); err != nil || q.Count < 1 || q.Count > most {
				return Error("ERR COUNT must be > 0")
			}
		case sameFold(r.args[i], "justid"):
			q.JustID = true
		default:
			return errSyntax
		}
	}
	var release func()
	q.Bytes, release = r.proto.grant(readMost)
	defer release()
	next, entries, gone, err := r.proto.streams.AutoClaim(ctx, key, q)
	if err != nil {
		return noGroup(err, noKeyOrGroup, key, r.args[2])
	}
	r.Array(3)
	r.replyID(next)
	r.replyClaimed(entries, q.JustID)
	r.Array(len(gone))
	for _, id := range gone {
		r.replyID(id)
	}
	return nil
}
