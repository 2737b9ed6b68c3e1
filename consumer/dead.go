package consumer

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/store"
	"github.com/spate-io/spate/stream"
	"github.com/spate-io/spate/task"
)

// The streams of dead letters. They have one partition each. Retention may be set on the first; what is in the second is on its way.
const (
	DeadStream    = "$dead"
	RedriveStream = "$redrive"
)

// DeadSubject is the subject of a consumer's dead letters.
func DeadSubject(consumer string) string { return DeadStream + "/" + consumer }

func redriveSubject(consumer string) string { return RedriveStream + "/" + consumer }

// DeadLetter is an event that could not be handled.
type DeadLetter struct {
	ID        string    `json:"id"` // of the letter
	Consumer  string    `json:"consumer"`
	Reason    string    `json:"reason"`
	Stack     string    `json:"stack,omitempty"` // of a panic
	Attempts  int       `json:"attempts"`
	FailedAt  time.Time `json:"failed_at"`
	Stream    string    `json:"stream"` // where it came from
	Partition int       `json:"partition"`
	Offset    uint64    `json:"offset"`
	// Event is the event as it was.
	Event *event.Event `json:"-"`
}

// The headers that a dead letter has before those of its event.
const (
	headerReason   = "dead-reason"
	headerStack    = "dead-stack"
	headerAttempts = "dead-attempts"
	headerStream   = "dead-stream"
	headerPart     = "dead-partition"
	headerOffset   = "dead-offset"
	headerSubject  = "dead-subject"
	headerTime     = "dead-event-time"
	headerID       = "dead-event-id"
	headerCount    = 9
)

// reserve makes the streams of dead letters.
func (s *Set) reserve(ctx context.Context) error {
	for _, name := range []string{DeadStream, RedriveStream} {
		c := stream.Config{Name: name, Subjects: []string{name + "/#"}, Partitions: 1}
		if err := s.opts.Log.Reserve(ctx, c); err != nil {
			return fmt.Errorf("making the stream of dead letters: %w", err)
		}
	}
	return nil
}

// letter makes a dead letter of an event. The cause has been cut.
func (c *Consumer) letter(it *item, cause error) *event.Event {
	d := &it.d
	stack := ""
	var panicked *task.PanicError
	if errors.As(cause, &panicked) {
		stack = string(panicked.Stack)
	}
	e := &event.Event{
		Subject: DeadSubject(c.config.Name), Key: d.Event.Key, Time: c.set.opts.Clock(), Data: d.Event.Data,
		Headers: append([]event.Header{
			{Name: headerReason, Value: cause.Error()},
			{Name: headerStack, Value: cut(stack, maxStack)},
			{Name: headerAttempts, Value: strconv.Itoa(d.Attempt)},
			{Name: headerStream, Value: d.Stream},
			{Name: headerPart, Value: strconv.Itoa(d.Number)},
			{Name: headerOffset, Value: strconv.FormatUint(d.Offset, 10)},
			{Name: headerSubject, Value: d.Event.Subject},
			{Name: headerTime, Value: encodeTime(d.Event.Time)},
			{Name: headerID, Value: d.Event.ID.String()},
		}, d.Event.Headers...),
	}
	if err := c.set.opts.Prepare(e); err != nil && e.ID.IsZero() {
		e.ID = d.Event.ID // it is longer than events may be, and kept nevertheless
	}
	return e
}

// encodeTime keeps every time, also those that RFC 3339 has no year for.
func encodeTime(t time.Time) string {
	b, err := t.MarshalBinary()
	if err != nil {
		return ""
	}
	return base64.StdEncoding.EncodeToString(b)
}

func decodeTime(text string) (t time.Time) {
	b, err := base64.StdEncoding.DecodeString(text)
	if err == nil {
		err = t.UnmarshalBinary(b)
	}
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}

// open reads a dead letter.
func open(r store.Record, prefix string) (DeadLetter, error) {
	e := r.Event
	if len(e.Headers) < headerCount || e.Headers[0].Name != headerReason {
		return DeadLetter{}, fmt.Errorf("the event %s on %q is no dead letter", e.ID, e.Subject)
	}
	l := DeadLetter{
		ID: strconv.FormatUint(r.Offset, 10), Consumer: strings.TrimPrefix(e.Subject, prefix), FailedAt: e.Time,
		Reason: e.Header(headerReason), Stack: e.Header(headerStack), Stream: e.Header(headerStream),
		Event: &event.Event{
			Subject: e.Header(headerSubject), Key: e.Key, Data: e.Data, Time: decodeTime(e.Header(headerTime)), Headers: e.Headers[headerCount:],
		},
	}
	var errs [4]error
	l.Attempts, errs[0] = strconv.Atoi(e.Header(headerAttempts))
	l.Partition, errs[1] = strconv.Atoi(e.Header(headerPart))
	l.Offset, errs[2] = strconv.ParseUint(e.Header(headerOffset), 10, 64)
	l.Event.ID, errs[3] = event.ParseID(e.Header(headerID))
	if err := errors.Join(errs[:]...); err != nil {
		return l, fmt.Errorf("the dead letter %s cannot be read: %w", l.ID, err)
	}
	return l, nil
}

// restore makes the delivery of a dead letter that of its event.
func restore(d *Delivery) {
	l, err := open(d.Record, RedriveStream+"/")
	if err != nil {
		return // somebody published to the subject: it is handled as it is
	}
	d.Partition = store.Partition{Stream: l.Stream, Number: l.Partition}
	d.Offset, d.Event = l.Offset, l.Event
}

var deadPartition = store.Partition{Stream: DeadStream}

// Dead returns dead letters, oldest first: of one consumer, or of all if the name is empty, after the one with an ID, at most limit. A consumer that
// is not there has the letters that it had; if it has none either, it is [ErrNotFound].
func (s *Set) Dead(ctx context.Context, consumer, after string, limit int) ([]DeadLetter, error) {
	at := store.Position{Partition: deadPartition}
	if after != "" {
		n, err := strconv.ParseUint(after, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%w: %.80q", ErrNoLetter, after)
		}
		at.Offset = n + 1
	}
	var letters []DeadLetter
	for len(letters) < limit {
		records, err := s.store().Read(ctx, at, store.ReadOptions{Records: min(limit, store.DefaultReadRecords)})
		if err != nil {
			return letters, fmt.Errorf("reading the dead letters: %w", err)
		}
		if len(records) == 0 {
			break
		}
		for _, r := range records {
			at.Offset = r.Offset + 1
			l, err := open(r, DeadStream+"/")
			if err == nil && len(letters) < limit && (consumer == "" || l.Consumer == consumer) {
				letters = append(letters, l)
			}
		}
	}
	if len(letters) == 0 && consumer != "" && after == "" {
		return nil, s.mayRedrive(ctx, consumer)
	}
	return letters, nil
}

// ErrNoLetter means that there is no such dead letter.
var ErrNoLetter = errors.New("there is no such dead letter")

// DeadLetter returns one dead letter.
func (s *Set) DeadLetter(ctx context.Context, id string) (DeadLetter, error) {
	r, err := s.deadRecord(ctx, id)
	if err != nil {
		return DeadLetter{}, err
	}
	return open(r, DeadStream+"/")
}

func (s *Set) deadRecord(ctx context.Context, id string) (store.Record, error) {
	n, err := strconv.ParseUint(id, 10, 64)
	if err != nil {
		return store.Record{}, fmt.Errorf("%w: %.80q", ErrNoLetter, id)
	}
	records, err := s.store().Read(ctx, store.Position{Partition: deadPartition, Offset: n}, store.ReadOptions{Records: 1})
	switch {
	case err != nil:
		return store.Record{}, fmt.Errorf("reading the dead letter %s: %w", id, err)
	case len(records) == 0 || records[0].Offset != n:
		return store.Record{}, fmt.Errorf("%w: %s", ErrNoLetter, id)
	}
	return records[0], nil
}

// Redrive gives dead letters to their consumers again. It returns how many; the first that does not exist ends it, and so does one
// whose consumer was removed, which is [ErrNotFound].
func (s *Set) Redrive(ctx context.Context, ids ...string) (n int, err error) {
	s.letters.Lock() // a letter that two redrive at the same time is handled once
	defer s.letters.Unlock()
	for _, id := range ids {
		r, err := s.deadRecord(ctx, id)
		if err == nil {
			_, err = open(r, DeadStream+"/")
		}
		if err != nil {
			return n, err
		}
		e, name := r.Event.Clone(), strings.TrimPrefix(r.Event.Subject, DeadStream+"/")
		if err := s.mayRedrive(ctx, name); err != nil {
			return n, fmt.Errorf("redriving the dead letter %s: %w", id, err)
		}
		e.Subject = redriveSubject(name)
		b := &store.Batch{
			Removes: []store.Position{{Partition: deadPartition, Offset: r.Offset}},
			Appends: []store.Append{{Partition: store.Partition{Stream: RedriveStream}, Event: e}},
		}
		if err := store.Commit(ctx, s.store(), b); err != nil {
			return n, fmt.Errorf("redriving the dead letter %s: %w", id, err)
		}
		n++
	}
	return n, nil
}

// Drop removes dead letters. It returns how many; the first that does not exist ends it.
func (s *Set) Drop(ctx context.Context, ids ...string) (n int, err error) {
	s.letters.Lock()
	defer s.letters.Unlock()
	for _, id := range ids {
		r, err := s.deadRecord(ctx, id)
		if err == nil {
			err = store.Commit(ctx, s.store(), &store.Batch{Removes: []store.Position{{Partition: deadPartition, Offset: r.Offset}}})
		}
		if err != nil {
			return n, fmt.Errorf("dropping a dead letter: %w", err)
		}
		n++
	}
	return n, nil
}

// RedriveAll redrives all dead letters of a consumer, or of all if the name is empty, that there are now. Those of consumers that were removed stay;
// the error is then [ErrNotFound], for the first of them.
func (s *Set) RedriveAll(ctx context.Context, consumer string) (int, error) {
	return s.eachDead(ctx, consumer, s.Redrive)
}

// DropAll drops all dead letters of a consumer, or of all if the name is empty, that there are now.
func (s *Set) DropAll(ctx context.Context, consumer string) (int, error) {
	return s.eachDead(ctx, consumer, s.Drop)
}

func (s *Set) eachDead(ctx context.Context, consumer string, do func(context.Context, ...string) (int, error)) (n int, stay error) {
	end, err := s.store().Bounds(ctx, deadPartition)
	if err != nil {
		return 0, err
	}
	for after := ""; ; {
		const page = 100
		letters, err := s.Dead(ctx, consumer, after, page)
		if err != nil || len(letters) == 0 {
			return n, errors.Join(err, stay)
		}
		for _, l := range letters {
			after = l.ID
			if at, _ := strconv.ParseUint(l.ID, 10, 64); at >= end.Next {
				return n, stay // redriven, and failed again meanwhile
			}
			done, err := do(ctx, l.ID)
			n += done
			switch {
			case errors.Is(err, ErrNotFound):
				stay = cmp.Or(stay, err)
			case err != nil && !errors.Is(err, ErrNoLetter):
				return n, err
			}
		}
	}
}
