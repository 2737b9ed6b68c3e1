package resp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"unsafe"

	"github.com/spate-io/spate/auth"
	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/protocol/resp/wire"
)

func runPublish(_ context.Context, r *Request) error {
	p, subject := r.proto, r.args[1]
	if !r.sess.is(stateOpen) && !p.auth.CanPublish(r.sess.id, view(subject)) {
		if err := r.authorize(auth.ActionPublish, string(subject)); err != nil {
			r.deny(err, errChannel)
			return nil
		}
	}
	if r.sess.is(stateSubscribed) {
		_ = r.flush() // what it publishes to itself comes after the replies to earlier requests
	}
	if captured, _ := p.bus.Captured(subject); captured {
		return r.publishStored(subject, r.args[2])
	}
	n, err := p.bus.PublishBytes(subject, r.args[2])
	if err != nil {
		return subjectError("subject", view(subject), err)
	}
	r.Integer(int64(n))
	return nil
}

// view reads b as a string without copying, for as long as b is not written to.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// subjectError says why a subject, a filter or a pattern is refused. Redis takes any bytes.
func subjectError(what, text string, err error) Error {
	for _, why := range []error{event.ErrEmpty, event.ErrTooLong, event.ErrTooDeep, event.ErrNotText, event.ErrWildcard, bus.ErrTooLong, bus.ErrTooVague} {
		if errors.Is(err, why) {
			return Error(fmt.Sprintf("ERR invalid %s %.64q: %s", what, text, why))
		}
	}
	return Error("ERR " + err.Error())
}

// A kind is what tells SUBSCRIBE from PSUBSCRIBE.
type kind struct {
	add, remove string // the first element of confirmations
	pattern     bool
}

var (
	channelKind = kind{add: "subscribe", remove: "unsubscribe"}
	patternKind = kind{add: "psubscribe", remove: "punsubscribe", pattern: true}
)

func runSubscribe(_ context.Context, r *Request) error    { return r.subscribe(channelKind) }
func runPSubscribe(_ context.Context, r *Request) error   { return r.subscribe(patternKind) }
func runUnsubscribe(_ context.Context, r *Request) error  { return r.unsubscribe(channelKind) }
func runPUnsubscribe(_ context.Context, r *Request) error { return r.unsubscribe(patternKind) }

// isFilter tells whether a pattern is a filter with + or # levels, rather than a glob.
func isFilter(pattern string) bool {
	for level := range strings.SplitSeq(pattern, "/") {
		if level == "+" || level == "#" {
			return true
		}
	}
	return false
}

// subscribe subscribes to all that the request names, or to nothing.
func (r *Request) subscribe(k kind) error {
	texts := make([]string, 0, len(r.args)-1)
	for _, arg := range r.args[1:] {
		text := string(arg)
		if !k.pattern && strings.ContainsAny(text, "+#") {
			return subjectError("subject", text, event.ErrWildcard)
		}
		if err := r.authorize(k.action(text), text); err != nil {
			r.deny(err, errChannel)
			return nil
		}
		texts = append(texts, text)
	}
	d := r.sess.details()
	if d.sub == nil {
		d.sub = newSubscriber(r.sess, r.conn)
	}
	d.sub.beginConfirm()
	defer d.sub.endConfirm()
	var added []string
	for _, text := range texts {
		fresh, err := k.enter(d.sub.client, text)
		if err != nil {
			for _, text := range added {
				k.leave(d.sub.client, text)
			}
			k.counter(d).Add(-int32(len(added)))
			return subjectError(k.what(text), text, err)
		}
		if fresh {
			k.counter(d).Add(1)
			added = append(added, text)
		}
		r.confirm(k.add, text, d.count())
	}
	r.sess.set(stateSubscribed, true)
	r.want = 0
	_ = r.flush()
	return nil
}

// unsubscribe ends the subscriptions that the request names, or all of the kind.
func (r *Request) unsubscribe(k kind) error {
	r.want = 0
	d := r.sess.details()
	if d.sub == nil {
		d.sub = newSubscriber(r.sess, r.conn)
	}
	texts := r.leaving(k, d)
	if len(texts) == 0 {
		r.confirmNone(k.remove, d.count())
		return nil
	}
	ended := make([]bool, len(texts))
	for i, text := range texts {
		ended[i] = k.leave(d.sub.client, text)
	}
	d.sub.settle()
	for i, text := range texts {
		if ended[i] {
			k.counter(d).Add(-1)
		}
		r.confirm(k.remove, text, d.count())
		if len(r.out) >= replyFlush {
			_ = r.flush()
		}
	}
	r.sess.set(stateSubscribed, d.count() > 0)
	return nil
}

// leaving returns what is to end. To list all costs a copy and a sort of up to 100 000 texts, 75 ms: it is done only when
// all are meant and there are some, so that no pipeline of requests that change nothing can ask for it again and again.
func (r *Request) leaving(k kind, d *details) []string {
	if len(r.args) == 1 {
		if k.counter(d).Load() == 0 {
			return nil
		}
		return d.sub.texts(k)
	}
	texts := make([]string, 0, len(r.args)-1)
	for _, arg := range r.args[1:] {
		texts = append(texts, string(arg))
	}
	return texts
}

// confirm tells the client about one subscription and the number of those that it has now.
func (r *Request) confirm(what, text string, count int) {
	r.out = wire.Bulk(r.confirmation(what), text)
	r.out = wire.Integer(r.out, int64(count))
}

// confirmNone tells that there was nothing to unsubscribe from.
func (r *Request) confirmNone(what string, count int) {
	r.out = r.confirmation(what)
	r.Null()
	r.out = wire.Integer(r.out, int64(count))
	r.want = 0
}

func (r *Request) confirmation(what string) []byte {
	if r.resp3 {
		return wire.Bulk(wire.Header(r.out, '>', 3), what)
	}
	return wire.Bulk(wire.Header(r.out, '*', 3), what)
}

// what is how errors call a text of that kind.
func (k kind) what(text string) string {
	switch {
	case !k.pattern:
		return "subject"
	case isFilter(text):
		return "filter"
	}
	return "pattern"
}

func (k kind) action(text string) auth.Action {
	if k.pattern && !isFilter(text) {
		return auth.ActionSubscribeGlob
	}
	return auth.ActionSubscribe
}

func (k kind) enter(c *bus.Client, text string) (added bool, err error) {
	if k.pattern && !isFilter(text) {
		return c.SubscribeGlob(text)
	}
	return c.Subscribe(text)
}

func (k kind) leave(c *bus.Client, text string) bool {
	switch {
	case !k.pattern:
		return !strings.ContainsAny(text, "+#") && c.Unsubscribe(text)
	case isFilter(text):
		return c.Unsubscribe(text)
	}
	return c.UnsubscribeGlob(text)
}

func (k kind) counter(d *details) *atomic.Int32 {
	if k.pattern {
		return &d.patterns
	}
	return &d.channels
}

// count is the number of subscriptions of both kinds.
func (d *details) count() int { return int(d.channels.Load() + d.patterns.Load()) }

// texts returns what the client is subscribed to.
func (sub *subscriber) texts(k kind) []string {
	var texts []string
	for _, s := range sub.client.Subscriptions() {
		if k.pattern == (s.Kind() != bus.KindSubject) {
			texts = append(texts, s.Pattern())
		}
	}
	slices.Sort(texts)
	return texts
}

// subscriber returns the connection's end of the bus, or nil if it has none.
func (s *session) subscriber() *subscriber {
	if d := s.more.Load(); d != nil {
		return d.sub
	}
	return nil
}

// unsubscribeAll ends all subscriptions without a word.
func (s *session) unsubscribeAll() {
	sub := s.subscriber()
	if sub == nil {
		return
	}
	sub.client.Close()
	sub.settle()
	d := s.details()
	d.sub = nil
	d.channels.Store(0)
	d.patterns.Store(0)
	s.set(stateSubscribed, false)
}

// checkSubscriptions asks about every subscription after the access rules have changed.
func (s *session) checkSubscriptions(generation uint64) error {
	sub := s.subscriber()
	if sub == nil {
		return nil
	}
	a := s.proto.auth
	for _, have := range sub.client.Subscriptions() {
		may := a.CanSubscribe
		if have.Kind() == bus.KindGlob {
			may = a.CanSubscribeGlob
		}
		if !may(s.id, have.Pattern()) {
			return fmt.Errorf("the subscription to %.64q: %w", have.Pattern(), auth.ErrForbidden)
		}
	}
	sub.judge(s.id, generation)
	return nil
}

func runChannels(_ context.Context, r *Request) error {
	pattern := "*"
	switch len(r.args) {
	case 2:
	case 3:
		pattern = string(r.args[2])
	default:
		return Error(fmt.Sprintf("ERR unknown subcommand or wrong number of arguments for '%s'. Try PUBSUB HELP.", r.args[1]))
	}
	var list body
	defer list.release()
	n, full := 0, error(nil)
	err := r.proto.bus.Channels(pattern, func(channel string) bool {
		if !r.sees(channel) {
			return true
		}
		n++
		full = list.reserve(r.proto, len(channel)+bulkFrame)
		if full == nil {
			list.b = wire.Bulk(list.b, channel)
		}
		return full == nil
	})
	switch {
	case err != nil:
		return subjectError("pattern", pattern, err)
	case full != nil:
		return Error(fmt.Sprintf("ERR the reply would be too long: %s. Ask with a narrower pattern, as in PUBSUB CHANNELS prefix*", full))
	}
	r.Array(n)
	r.elements(n, list.b)
	return nil
}

func runNumSub(_ context.Context, r *Request) error {
	r.Array(2 * (len(r.args) - 2))
	for _, channel := range r.args[2:] {
		n := 0
		if r.sees(view(channel)) {
			n = r.proto.bus.NumSub(view(channel))
		}
		r.Bulk(channel)
		r.Integer(int64(n))
	}
	return nil
}

// sees tells whether the user may know about a subject. Redis tells everybody.
func (r *Request) sees(subject string) bool {
	return r.sess.is(stateOpen) || r.proto.auth.CanReceive(r.sess.id, subject)
}

func runNumPat(_ context.Context, r *Request) error {
	r.Integer(int64(r.proto.bus.NumPat()))
	return nil
}
