package resp

import (
	"context"

	"github.com/spate-io/spate/auth"
	"github.com/spate-io/spate/protocol/resp/xstream"
)

// What XADD and XTRIM refuse, in Redis's words.
const (
	errZeroID      = Error("ERR The ID specified in XADD must be greater than 0-0")
	errTwoTrims    = Error("ERR syntax error, MAXLEN and MINID options at the same time are not compatible")
	errMaxLen      = Error("ERR The MAXLEN argument must be >= 0.")
	errLimit       = Error("ERR The LIMIT argument must be >= 0.")
	errLimitAlone  = Error("ERR syntax error, LIMIT cannot be used without specifying a trimming strategy")
	errLimitExact  = Error("ERR syntax error, LIMIT cannot be used without the special ~ option")
	errTrimNothing = Error("ERR syntax error, XTRIM must be called with a trimming strategy")
)

// trimOptions reads the options of XADD and XTRIM from argument 2 on.
type trimOptions struct {
	xstream.AddArgs
	limited bool
	at      int // the argument behind them
}

func (r *Request) trimOptions(add bool) (o trimOptions, err error) {
	o.Trim.Limit = -1
	for o.at = 2; o.at < len(r.args); o.at++ {
		opt, more := r.args[o.at], len(r.args)-1-o.at > 0
		switch {
		case more && (sameFold(opt, "maxlen") || sameFold(opt, "minid")):
			err = r.strategy(&o, sameFold(opt, "maxlen"))
		case more && sameFold(opt, "limit"):
			o.at++
			if o.Trim.Limit, err = r.Int(o.at); err == nil && o.Trim.Limit < 0 {
				err = errLimit
			}
			o.limited = true
		case add && sameFold(opt, "nomkstream"):
			o.NoMkStream = true
		case add:
			var ok bool
			if o.ID, ok = xstream.ParsePartial(opt); !ok {
				return o, errStreamID
			}
			o.at++
			return o, o.check()
		default:
			return o, errSyntax
		}
		if err != nil {
			return o, err
		}
	}
	if !add && o.Trim.By == xstream.TrimNone && !o.limited {
		return o, errTrimNothing
	}
	return o, o.check()
}

func (o *trimOptions) check() error {
	switch {
	case o.limited && o.Trim.By == xstream.TrimNone:
		return errLimitAlone
	case o.limited && !o.Trim.Approx:
		return errLimitExact
	}
	return nil
}

// strategy reads what follows MAXLEN or MINID.
func (r *Request) strategy(o *trimOptions, byLength bool) (err error) {
	if o.Trim.By != xstream.TrimNone {
		return errTwoTrims
	}
	o.at++
	if sign := string(r.args[o.at]); (sign == "~" || sign == "=") && o.at+1 < len(r.args) {
		o.Trim.Approx = sign == "~"
		o.at++
	}
	if !byLength {
		o.Trim.By = xstream.TrimMinID
		o.Trim.Min, err = r.id(o.at)
		return err
	}
	o.Trim.By = xstream.TrimMaxLen
	if o.Trim.Len, err = r.Int(o.at); err == nil && o.Trim.Len < 0 {
		err = errMaxLen
	}
	return err
}

func runXAdd(ctx context.Context, r *Request, key []byte) error {
	o, err := r.trimOptions(true)
	if err != nil {
		return err
	}
	if n := len(r.args) - o.at; n < 2 || n%2 == 1 {
		return Error("ERR wrong number of arguments for 'xadd' command")
	}
	if !o.ID.Auto && !o.ID.AutoSeq && o.ID.IsZero() {
		return errZeroID
	}
	a, err := r.proto.streams.Add(ctx, key, o.AddArgs, r.args[o.at:], &r.stored)
	switch {
	case err != nil:
		return err
	case a == nil:
		r.Null()
	default:
		r.later(hole{added: a})
	}
	return nil
}

func runXTrim(ctx context.Context, r *Request, key []byte) error {
	o, err := r.trimOptions(false)
	if err != nil {
		return err
	}
	n, err := r.proto.streams.Trim(ctx, key, o.Trim)
	r.Integer(n)
	return err
}

func runXDel(ctx context.Context, r *Request, key []byte) error {
	if is, err := r.proto.streams.Exists(ctx, key); err != nil || !is {
		r.Integer(0)
		return err
	}
	ids, err := r.ids(2)
	if err != nil {
		return err
	}
	n, err := r.proto.streams.Delete(ctx, key, ids)
	r.Integer(n)
	return err
}

func runXSetID(ctx context.Context, r *Request, key []byte) error {
	id, err := r.id(2)
	if err != nil {
		return err
	}
	added, deleted := int64(-1), (*xstream.ID)(nil)
	for i := 3; i < len(r.args); i += 2 {
		switch {
		case i+1 < len(r.args) && sameFold(r.args[i], "entriesadded"):
			if added, err = r.Int(i + 1); err != nil {
				return err
			}
			if added < 0 {
				return Error("ERR entries_added must be positive")
			}
		case i+1 < len(r.args) && sameFold(r.args[i], "maxdeletedid"):
			last, err := r.id(i + 1)
			if err != nil {
				return err
			}
			if id.Less(last) {
				return Error("ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id")
			}
			if !last.IsZero() { // which Redis takes for none
				deleted = &last
			}
		default:
			return errSyntax
		}
	}
	if err := r.proto.streams.SetID(ctx, key, id, added, deleted); err != nil {
		return err
	}
	r.OK()
	return nil
}

func runDel(ctx context.Context, r *Request) error {
	if !r.mayKeys(auth.ActionPublish, r.args[1:]...) {
		return nil
	}
	n := int64(0)
	for _, key := range r.args[1:] {
		was, err := r.proto.streams.Drop(ctx, key)
		if err != nil {
			return storeError(err)
		}
		if was {
			n++
		}
	}
	r.Integer(n)
	return nil
}

func runExists(ctx context.Context, r *Request) error {
	if !r.mayKeys(auth.ActionSubscribe, r.args[1:]...) {
		return nil
	}
	n := int64(0)
	for _, key := range r.args[1:] {
		is, err := r.proto.streams.Exists(ctx, key)
		if err != nil {
			return storeError(err)
		}
		if is {
			n++
		}
	}
	r.Integer(n)
	return nil
}

func runType(ctx context.Context, r *Request, key []byte) error {
	is, err := r.proto.streams.Exists(ctx, key)
	if is {
		r.Simple("stream")
	} else {
		r.Simple("none")
	}
	return err
}
