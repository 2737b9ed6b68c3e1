package device

import (
	"context"
	"encoding/json"
	"iter"
	"strconv"
	"strings"

	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/consumer"
	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/store"
)

// Delivered tells that a device has acknowledged an event on a subject of a command, see [CommandSubject]; other subjects, and those of other devices, are no
// matter. It does not block. A door that cannot tell need not.
func (s *Service) Delivered(id, subject string, e event.ID) {
	tail, ok := strings.CutPrefix(subject, subjectOf(id, "commands/"))
	if !ok {
		return
	}
	command, what, _ := strings.Cut(tail, "/")
	if strings.HasPrefix(what, "request/") && command == e.String() && s.begun.Load() {
		s.notice(s.input(id, inputDelivered, []byte(command)))
	}
}

// Subscribed tells that a device has subscribed to a filter, after it was told that it has, and whether what is published while it is away is kept for it, should
// its session be resumed. What it has missed is sent then. It does not block. Filters that select nothing of what is said to the device are no matter; nor are
// further ones of one connection, or those that a session had when it was resumed.
func (s *Service) Subscribed(c Session, filter string, kept bool) {
	if c.Epoch == 0 || !strings.HasPrefix(filter, bus.DeviceRoot) {
		return
	}
	if h := heardBy(c, filter, kept); h.Commands || h.Delta {
		s.noticeHearing(inputReady, h, c.ID)
	}
}

// Unsubscribed tells that a device has unsubscribed from a filter, and what the filters are, and whether each is kept as of [Service.Subscribed], that its session has
// still: of these, one may select the same. It does not block, and asks for them only if the filter selects something that is said to the device.
func (s *Service) Unsubscribed(c Session, filter string, left iter.Seq2[string, bool]) {
	if c.Epoch == 0 || !strings.HasPrefix(filter, bus.DeviceRoot) {
		return
	}
	if h := heardBy(c, filter, false); !h.Commands && !h.Delta {
		return
	}
	s.noticeHearing(inputDeaf, heardByAll(c, left), c.ID)
}

// Resumed tells that a device has connected with the session of its last connection, and what the filters of that are, and whether each is kept as of
// [Service.Subscribed]. What is stored of them may be missing: the device may have been removed meanwhile, or be one only now. It does not block.
func (s *Service) Resumed(c Session, filters iter.Seq2[string, bool]) {
	if c.Epoch == 0 {
		return
	}
	if h := heardByAll(c, filters); h.Commands || h.Delta {
		s.noticeHearing(inputReady, h, c.ID)
	}
}

// heardByAll returns what a device hears with several filters.
func heardByAll(c Session, filters iter.Seq2[string, bool]) hearing {
	all := hearing{Epoch: c.Epoch}
	for filter, kept := range filters {
		h := heardBy(c, filter, kept)
		all.Commands, all.Delta, all.Kept = all.Commands || h.Commands, all.Delta || h.Delta, all.Kept || h.Delta && h.Kept
	}
	return all
}

// heardBy returns what a device hears with a filter.
func heardBy(c Session, filter string, kept bool) hearing {
	h := hearing{Epoch: c.Epoch, Kept: kept}
	f, err := event.ParseFilter(filter, event.Limits{})
	if err != nil {
		return h
	}
	covers := func(tail string) bool {
		own, err := event.ParseFilter(subjectOf(c.ID, tail), event.Limits{})
		return err == nil && f.Overlaps(own)
	}
	h.Commands, h.Delta = covers("commands/+/request/#"), covers("state/delta")
	return h
}

// noticeHearing queues what a device hears.
func (s *Service) noticeHearing(what string, h hearing, id string) {
	if data, err := json.Marshal(h); err == nil {
		s.notice(s.input(id, what, data))
	}
}

// notice queues an event for the inbox. One that the limits on events do not let through would hold up all others.
func (s *Service) notice(e *event.Event) {
	if s.opts.Bus.Prepare(e) != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.notices) < maxNotices {
		s.notices = append(s.notices, e)
		signal(s.noticed)
	}
}

// takeNotices takes the first notices, as many as one commit may hold.
func (s *Service) takeNotices() []*event.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := min(len(s.notices), noticesBatch, max(1, s.store.Limits().Operations/8))
	some := s.notices[:n:n]
	if s.notices = s.notices[n:]; len(s.notices) == 0 {
		s.notices = nil
	}
	return some
}

// returnNotices puts notices back that could not be stored, before those that came meanwhile.
func (s *Service) returnNotices(some []*event.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notices = append(some, s.notices...)
	s.notices = s.notices[:min(len(s.notices), maxNotices)]
}

// keepNotices puts what doors have told into the inbox, much with one commit. What cannot be stored stays, to be tried again: a device of which it is not known that
// it has subscribed would get no commands.
func (s *Service) keepNotices() error {
	for {
		some := s.takeNotices()
		if len(some) == 0 {
			return nil
		}
		if err := s.commit(nil, some...); err != nil {
			s.returnNotices(some)
			return err
		}
	}
}

// ticks puts into the inbox which devices are to be looked at now.
func (s *Service) ticks(ctx context.Context) error {
	if !s.begun.Load() {
		return nil
	}
	prefix := strings.TrimSuffix(consumer.StateKey(inbox, duePrefix, ""), "\x00")
	now := s.now().UnixMilli()
	most := min(tickBatch, max(1, s.store.Limits().Operations/8))
	for {
		entries, err := s.store.Scan(ctx, prefix, "", most)
		if err != nil {
			return err
		}
		b, events := &store.Batch{}, []*event.Event(nil)
		for _, due := range entries {
			text, id, _ := strings.Cut(strings.TrimPrefix(due.Key, prefix), "\x00")
			if at, err := strconv.ParseInt(text, 10, 64); err == nil && at > now {
				break
			}
			b.Deletes = append(b.Deletes, due.Key)
			events = append(events, s.input(id, inputTick, nil))
		}
		if len(events) == 0 {
			return nil
		}
		if err := s.commit(b, events...); err != nil || len(events) < most {
			return err
		}
	}
}
