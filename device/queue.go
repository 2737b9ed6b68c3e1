package device

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/event"
)

// queue is what is known of the commands of a device. It is small: the commands and their payloads are stored beside it.
type queue struct {
	Open []openCommand `json:"open,omitempty"` // in their order
	Done []string      `json:"done,omitempty"` // finished, the oldest first
	Due  int64         `json:"due,omitempty"`  // when it is to be looked at again, in Unix milliseconds; 0 is never
}

// openCommand is a command that is not finished.
type openCommand struct {
	ID       string `json:"id"`
	State    string `json:"state"`
	Expires  int64  `json:"expires"`
	Sent     int64  `json:"sent,omitempty"` // the last time
	Attempts int    `json:"attempts,omitempty"`
}

// The names of the state of the consumer of the inbox that has the commands.
const (
	queueName   = "commands"
	commandName = "command/" // and its identifier
	payloadName = "payload/" // likewise, while it is open
	duePrefix   = "due/"
)

// dueName is the name of a mark that a device is to be looked at. Marks sort by their time.
func dueName(at int64) string { return fmt.Sprintf("%s%020d", duePrefix, at) }

func decodeQueue(data []byte) (q queue, err error) {
	if len(data) > 0 {
		if err = json.Unmarshal(data, &q); err != nil {
			err = fmt.Errorf("the commands that are stored cannot be read: %w", err)
		}
	}
	return q, err
}

// queue returns the commands of the device, as the turns before it have left them.
func (t *turn) queue() (queue, error) {
	data, err := t.get(queueName)
	if err != nil {
		return queue{}, err
	}
	return decodeQueue(data)
}

// onQueue has fn change the commands of the device, sends what may be sent then, and keeps them.
func (t *turn) onQueue(fn func(*queue) error) error {
	q, err := t.queue()
	if err != nil || len(q.Open) == 0 && q.Due == 0 && t.Event.Subject != bus.InboxRoot+"/"+t.id+"/"+inputCall {
		return err // nothing to do, as for most devices most of the time
	}
	if err := fn(&q); err != nil {
		return err
	}
	reachable, err := t.reachable()
	if err == nil && reachable {
		err = t.pump(&q)
	}
	if err != nil {
		return err
	}
	return t.keep(&q, reachable)
}

// reachable tells whether it is of use to send a command now: the device has subscribed. One that was declared, never connected by a door that tells so, and has
// reported its state nevertheless, listens in another way.
func (t *turn) reachable() (bool, error) {
	e, err := t.read(t.ctx, t.id)
	switch {
	case err != nil || e.revision == 0:
		return false, err
	case e.FirstSeen.IsZero():
		doc, err := t.document()
		return err == nil && doc.Heard > 0, err
	case !e.Online:
		return false, nil
	}
	h, err := t.hearing(&e)
	return err == nil && h.Commands, err
}

// pump sends commands that wait, in order, as many as the window allows.
func (t *turn) pump(q *queue) error { return t.giveAll(q, Queued, t.config.Limits.Window) }

// resend sends what was sent and not acknowledged again, in order.
func (t *turn) resend(q *queue) error { return t.giveAll(q, Sent, len(q.Open)) }

// giveAll sends those of the first open commands that are in a state.
func (t *turn) giveAll(q *queue, state string, first int) error {
	for i := 0; i < min(len(q.Open), first); {
		gone, err := false, error(nil)
		if q.Open[i].State == state {
			gone, err = t.give(q, i)
		}
		if err != nil {
			return err
		}
		if !gone {
			i++
		}
	}
	return nil
}

// give sends the command at a place of the open ones. One that has expired, or that the limits on events do not let through, is finished and gone from there, unless the turn
// has ended enough: then a later one does it.
func (t *turn) give(q *queue, at int) (gone bool, err error) {
	o := &q.Open[at]
	if o.Expires <= t.now().UnixMilli() { // while nobody could look: the server was down, or its disk full
		if t.ended >= maxEnded {
			return false, nil
		}
		return true, t.expire(q, at)
	}
	e, c, err := t.request(o)
	if err != nil {
		return false, err
	}
	wrong := t.opts.Bus.Prepare(e)
	switch {
	case wrong == nil:
		return false, t.send(o, c, e)
	case t.ended >= maxEnded:
		return false, nil
	}
	return true, t.finish(q, at, c, Failed, "it cannot be sent: "+wrong.Error())
}

// expire ends the command at a place of the open ones, whose time has passed.
func (t *turn) expire(q *queue, at int) error {
	c, err := t.command(q.Open[at].ID)
	if err != nil {
		return err
	}
	return t.finish(q, at, c, Expired, "")
}

// request makes the event with which a command is sent, which has the identifier of the command.
func (t *turn) request(o *openCommand) (e *event.Event, c Command, err error) {
	if c, err = t.command(o.ID); err != nil {
		return nil, c, err
	}
	payload, err := t.get(payloadName + o.ID)
	if err != nil {
		return nil, c, err
	}
	id, err := event.ParseID(o.ID)
	if err != nil {
		return nil, c, err
	}
	headers := []event.Header{
		{Name: event.ReplyTo, Value: subjectOf(t.id, "commands/"+o.ID+"/response")}, {Name: event.CorrelationData, Value: o.ID},
		{Name: event.Expires, Value: strconv.FormatInt(o.Expires, 10)}, {Name: headerMethod, Value: c.Method},
	}
	if c.ContentType != "" {
		headers = append(headers, event.Header{Name: event.ContentType, Value: c.ContentType})
	}
	return &event.Event{ID: id, Subject: CommandSubject(t.id, o.ID, c.Method), Time: t.now(), Headers: headers, Data: payload}, c, nil
}

// send publishes a command to the device.
func (t *turn) send(o *openCommand, c Command, e *event.Event) error {
	if err := t.Publish(e); err != nil {
		return err
	}
	o.State, o.Sent = Sent, e.Time.UnixMilli()
	o.Attempts++
	first := c.State == Queued
	if c.Attempts = o.Attempts; first {
		c.State, c.Sent = Sent, e.Time
	}
	return t.keepCommand(c, first)
}

// command returns a command of the device.
func (t *turn) command(id string) (Command, error) {
	data, err := t.get(commandName + id)
	if err != nil {
		return Command{}, err
	}
	return decodeTold(data)
}

// keepCommand keeps a command, and tells of it if its state is another one.
func (t *turn) keepCommand(c Command, changed bool) error {
	data, err := json.Marshal(plainCommand(c))
	if err == nil {
		err = t.Put(commandName+c.ID, data)
	}
	if err != nil || !changed {
		return err
	}
	return t.tellCommand(c)
}

// tellCommand publishes the state of a command. The last one is the answer to whoever waits for it. What the device has answered is left out if the limits on events
// do not let it through: it is kept.
func (t *turn) tellCommand(c Command) error {
	var headers []event.Header
	if c.Final() {
		headers = []event.Header{{Name: headerRequest, Value: c.ID}}
	}
	told, err := t.event("commands/"+c.ID+"/status", c, headers...)
	if err != nil {
		c.Response = nil
		return t.publish("commands/"+c.ID+"/status", c, headers...)
	}
	return t.Publish(told)
}

// keep keeps the commands of the device, and when they are to be looked at again.
func (t *turn) keep(q *queue, reachable bool) error {
	due := q.next(reachable)
	if due != q.Due {
		if q.Due != 0 {
			if err := t.Delete(dueName(q.Due)); err != nil {
				return err
			}
		}
		if due != 0 {
			if err := t.Put(dueName(due), nil); err != nil {
				return err
			}
		}
		q.Due = due
	}
	data, err := json.Marshal(q)
	if err != nil {
		return err
	}
	return t.Put(queueName, data)
}

// next returns when a command expires or is to be sent again; 0 is never.
func (q *queue) next(reachable bool) (due int64) {
	for i := range q.Open {
		o := &q.Open[i]
		at := o.Expires
		if reachable && o.State == Sent {
			at = min(at, o.again())
		}
		if due == 0 || at < due {
			due = at
		}
	}
	return due
}

// again returns when a command is to be sent again.
func (o *openCommand) again() int64 {
	pause := resendMost
	if n := o.Attempts - 1; n < 5 {
		pause = min(resendFirst<<max(0, n), resendMost)
	}
	return o.Sent + pause.Milliseconds()
}

// find returns the place of an open command, or -1.
func (q *queue) find(id string) int {
	return slices.IndexFunc(q.Open, func(o openCommand) bool { return o.ID == id })
}

// call takes a command from whoever gives it.
func (t *turn) call() error {
	expires, err := strconv.ParseInt(t.Event.Header(event.Expires), 10, 64)
	if err != nil {
		return nil // only the service says so
	}
	c := Command{
		ID: t.Event.ID.String(), Device: t.id, Method: t.Event.Header(headerMethod), State: Queued, ContentType: t.Event.Header(event.ContentType),
		Created: t.Event.Time, Expires: time.UnixMilli(expires).UTC(),
	}
	known, err := t.get(commandName + c.ID)
	if err != nil {
		return err
	}
	if known != nil {
		return t.callAgain(known)
	}
	e, err := t.read(t.ctx, t.id)
	if err != nil {
		return err
	}
	if e.revision == 0 {
		c.State, c.Error, c.Finished = Failed, ErrNotFound.Error(), t.now()
		return t.tellCommand(c)
	}
	return t.onQueue(func(q *queue) error {
		if len(q.Open) >= t.config.Limits.Commands {
			return t.finish(q, -1, c, Failed, ErrQueue.Error())
		}
		q.Open = append(q.Open, openCommand{ID: c.ID, State: Queued, Expires: expires})
		return errors.Join(t.Put(payloadName+c.ID, t.Event.Data), t.keepCommand(c, true))
	})
}

// callAgain takes a command that the device has already, from somebody who does not know whether it was stored. If it is over, that is told once more, as the caller may wait.
func (t *turn) callAgain(known []byte) error {
	c, err := decodeTold(known)
	if err != nil || !c.Final() {
		return err
	}
	return t.tellCommand(c)
}

// finish ends a command, which is at a place of the open ones or, with -1, not among them.
func (t *turn) finish(q *queue, at int, c Command, state, why string) error {
	t.ended++
	c.State, c.Finished = state, t.now()
	if why != "" {
		c.Error = cut(why, maxErrorText)
	}
	if at >= 0 {
		q.Open = slices.Delete(q.Open, at, at+1)
		if err := t.Delete(payloadName + c.ID); err != nil {
			return err
		}
	}
	if q.Done = append(q.Done, c.ID); len(q.Done) > keptCommands {
		if err := t.Delete(commandName + q.Done[0]); err != nil {
			return err
		}
		q.Done = slices.Delete(q.Done, 0, 1)
	}
	return t.keepCommand(c, true)
}

// Headers of a bus's reply, which say that it is an error.
const (
	headerReplyCode    = "reply-code"
	headerReplyMessage = "reply-message"
)

// answered takes the answer of the device to a command. What comes after the end of the command, or twice, changes nothing.
func (t *turn) answered(id string, failed bool) error {
	return t.onQueue(func(q *queue) error {
		at := q.find(id)
		if at < 0 {
			return nil
		}
		c, err := t.command(id)
		if err != nil {
			return err
		}
		data, code := t.Event.Data, t.Event.Header(headerReplyCode)
		if most := t.config.Limits.Payload; len(data) > most {
			return t.finish(q, at, c, Failed, fmt.Sprintf("the server has refused the answer of the device: it has %d bytes, at most %d are kept", len(data), most))
		}
		c.Response, c.ResponseType = data, cut(t.Event.Header(event.ContentType), DefaultLabel)
		switch {
		case code != "":
			return t.finish(q, at, c, Failed, code+": "+t.Event.Header(headerReplyMessage))
		case failed && len(data) > 0 && utf8.Valid(data):
			return t.finish(q, at, c, Failed, string(data))
		case failed:
			return t.finish(q, at, c, Failed, "the device says no more")
		}
		return t.finish(q, at, c, Done, "")
	})
}

// delivered notes that the device has acknowledged a command. The answer may have come before.
func (t *turn) delivered(id string) error {
	return t.onQueue(func(q *queue) error {
		at := q.find(id)
		if at < 0 || q.Open[at].State != Sent {
			return nil
		}
		c, err := t.command(id)
		if err != nil {
			return err
		}
		q.Open[at].State = Delivered
		c.State, c.Delivered = Delivered, t.now()
		return t.keepCommand(c, true)
	})
}

// tick ends the commands that have expired, and sends those again that were not acknowledged for long.
func (t *turn) tick() error {
	return t.onQueue(func(q *queue) error {
		q.Due = 0 // the mark is gone
		now := t.now().UnixMilli()
		for at := 0; at < len(q.Open) && t.ended < maxEnded; {
			if q.Open[at].Expires > now {
				at++
				continue
			}
			if err := t.expire(q, at); err != nil {
				return err
			}
		}
		late := func(o openCommand) bool { return o.State == Sent && o.again() <= now }
		reachable, err := t.reachable()
		if err != nil || !reachable || !slices.ContainsFunc(q.Open, late) {
			return err
		}
		return t.resend(q)
	})
}
