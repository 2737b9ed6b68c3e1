package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/task"
)

// Endpoint is a topic of requests, and the type of the replies.
type Endpoint[Req, Resp any] struct {
	request *Topic[Req]
	reply   Codec[Resp]
}

// NewEndpoint declares an endpoint. The options are those of a topic, for the requests. Replies are JSON, or what they are if they are bytes; see
// [Endpoint.WithReply].
func NewEndpoint[Req, Resp any](filter string, options ...Option[Req]) *Endpoint[Req, Resp] {
	return &Endpoint[Req, Resp]{request: NewTopic(filter, options...), reply: defaultCodec[Resp]()}
}

// WithReply returns the same endpoint with another codec of its replies.
func (e *Endpoint[Req, Resp]) WithReply(c Codec[Resp]) *Endpoint[Req, Resp] {
	return &Endpoint[Req, Resp]{request: e.request, reply: c}
}

// Topic returns the topic of the requests.
func (e *Endpoint[Req, Resp]) Topic() *Topic[Req] { return e.request }

// Why a request has no reply.
var (
	// ErrNoResponder means that nobody responds on the subject of the request, see [Respond]. Other subscriptions do not count.
	ErrNoResponder = errors.New("nobody responds")
	// ErrTimeout means that no reply came in time. The request may have been handled nevertheless.
	ErrTimeout = errors.New("no reply came in time")
)

// RemoteError is the error of a responder, as it reaches whoever asked.
type RemoteError struct {
	// Code says for programs what is wrong: one of the codes of this package, or of the responder's own.
	Code string
	// Message says it for people.
	Message string
}

// Codes of [RemoteError].
const (
	CodeBadRequest = "bad_request" // the request is not of the type of the endpoint
	CodeBusy       = "busy"        // every responder has as many requests waiting as it takes
	CodeInternal   = "internal"    // the responder failed or panicked; why is in its log
)

// Error has the code and the message.
func (e *RemoteError) Error() string {
	return fmt.Sprintf("the responder says %s: %s", e.Code, e.Message)
}

// kindResponder is what the live handler of an endpoint is called.
const kindResponder = "responder"

// The headers of requests and replies.
const (
	headerReplyTo      = event.ReplyTo
	headerReplyBy      = "reply-by" // Unix time in milliseconds, after which nobody waits for the reply
	headerReplyCode    = "reply-code"
	headerReplyMessage = "reply-message"
)

// Request publishes a request, live, outside of any step and whether a stream captures it or not, and waits for the first reply: until the
// deadline of the context, or for [DefaultRequestTimeout] if it has none. The error of a responder is a [RemoteError];
// [ErrNoResponder] comes at once if nobody responds there; [ErrTimeout] also matches context.DeadlineExceeded.
func Request[Req, Resp any](ctx context.Context, h Host, e *Endpoint[Req, Resp], v Req) (resp Resp, err error) {
	n, err := nodeOf(h)
	if err != nil {
		return resp, err
	}
	request, err := e.request.Event(ctx, v)
	if err != nil {
		return resp, err
	}
	if _, has := ctx.Deadline(); !has {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, DefaultRequestTimeout)
		defer cancel()
	}
	reply, err := n.request(ctx, request)
	if err != nil {
		return resp, fmt.Errorf("requesting on %.80q: %w", request.Subject, err)
	}
	if code := reply.Header(headerReplyCode); code != "" {
		return resp, &RemoteError{Code: code, Message: reply.Header(headerReplyMessage)}
	}
	if resp, err = e.reply.Decode(reply.Data); err != nil {
		return resp, &DecodeError{Event: reply, Err: err}
	}
	return resp, nil
}

// request publishes a request and waits for the reply.
func (n *Node) request(ctx context.Context, e *event.Event) (*event.Event, error) {
	w, err := n.replies.open(n.opts.Bus)
	if err != nil {
		return nil, err
	}
	defer n.replies.forget(w)
	e.Headers = append(e.Headers, event.Header{Name: headerReplyTo, Value: w.subject})
	if deadline, ok := ctx.Deadline(); ok {
		left := time.Until(deadline) // by the real clock, as the context goes
		by := n.opts.Clock().Add(left).UnixMilli()
		e.Headers = append(e.Headers, event.Header{Name: headerReplyBy, Value: strconv.FormatInt(by, 10)})
	}
	responders, accepted, err := n.opts.Bus.offer(e)
	if err != nil {
		return nil, err
	}
	select {
	case reply := <-w.reply:
		return reply, nil
	default:
	}
	switch {
	case responders == 0:
		return nil, ErrNoResponder
	case accepted == 0:
		return nil, &RemoteError{Code: CodeBusy, Message: "every responder has as many requests waiting as it takes"}
	}
	select {
	case reply := <-w.reply:
		return reply, nil
	case <-ctx.Done():
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return nil, fmt.Errorf("%w: %w", ErrTimeout, ctx.Err())
	}
	return nil, ctx.Err()
}

// Respond has a function answer the requests of an endpoint, from [Node.Run] on, LiveOptions.Concurrency of them at a time, by default
// [DefaultResponders]. Several responders for one subject get each request all of them, and the first reply counts.
//
// The requester is told of an error if it is, or wraps, a [RemoteError]; of others, and of a panic, that there was one, and the log has the
// rest. A request for whose reply nobody waits any more is left out; one without a place for the reply, which was published as
// an ordinary event, is handled, and the reply is dropped. When the queue is full, the requester is told [CodeBusy] at once.
func Respond[Req, Resp any](h Host, e *Endpoint[Req, Resp], fn func(context.Context, Req) (Resp, error), options ...LiveOptions) error {
	n, absent := nodeOf(h)
	o, err := one(options)
	name := e.request.filter.String()
	if err = errors.Join(e.request.err, err, absent); err == nil {
		inner := n.wrap(o.Middleware, func(ctx context.Context, d *Delivery) error {
			current, _ := ctx.Value(handlingKey{}).(*handling)
			v, err := e.request.Decode(d.Event)
			if err != nil {
				return &RemoteError{Code: CodeBadRequest, Message: err.Error()}
			}
			current.key = e.request.keyOf(d.Event, v)
			resp, err := fn(ctx, v)
			if err != nil {
				return err
			}
			current.reply, err = e.reply.Encode(resp)
			return err
		})
		l := &liveHandler{node: n, kind: kindResponder, name: name, workers: orDefault(o.Concurrency, DefaultResponders)}
		l.handler = func(ctx context.Context, d *Delivery) error { return n.respond(ctx, d, inner) }
		err = n.addLive(l, e.request.filter, o.Queue)
	}
	return n.refuse(kindResponder, name, err)
}

// respond handles one request and publishes the reply, also when the handler calls runtime.Goexit.
func (n *Node) respond(ctx context.Context, d *Delivery, inner Handler) (result error) {
	if by, err := strconv.ParseInt(d.Event.Header(headerReplyBy), 10, 64); err == nil && n.opts.Clock().UnixMilli() > by {
		return nil
	}
	current := &handling{delivery: d, live: true}
	task.Finally(func() error { return inner(withHandling(ctx, current), d) }, func(err error) { result = n.reply(ctx, d, current, err) })
	return result
}

// reply publishes what became of a request.
func (n *Node) reply(ctx context.Context, d *Delivery, current *handling, err error) error {
	to := d.Event.Header(headerReplyTo)
	if !isReply(to) { // a requester must not have the node publish where it may not itself
		return err
	}
	reply := &event.Event{Subject: to, Data: current.reply}
	if err != nil {
		reply.Data, reply.Headers = nil, errorHeaders(err)
	}
	if id := d.Event.Header(event.CorrelationData); id != "" {
		reply.Headers = append(reply.Headers, event.Header{Name: event.CorrelationData, Value: id})
	}
	carryTrace(ctx, reply)
	_, failed := n.opts.Bus.PublishLive(reply)
	if failed != nil {
		reply.Data, reply.Headers = nil, errorHeaders(failed)
		_, again := n.opts.Bus.PublishLive(reply)
		failed = errors.Join(failed, again)
	}
	var told *RemoteError
	if errors.As(err, &told) {
		err = nil // it is an answer
	}
	return errors.Join(err, failed)
}

// errorHeaders says what a requester may know of an error.
func errorHeaders(err error) []event.Header {
	told := &RemoteError{Code: CodeInternal, Message: "the responder failed; its log says why"}
	if e := (*RemoteError)(nil); errors.As(err, &e) && e.Code != "" {
		told = e
	}
	return []event.Header{{Name: headerReplyCode, Value: clip(told.Code)}, {Name: headerReplyMessage, Value: clip(told.Message)}}
}

func clip(s string) string {
	if len(s) > maxReplyError {
		return s[:maxReplyError] + "…"
	}
	return s
}
