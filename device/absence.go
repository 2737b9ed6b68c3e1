package device

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/consumer"
	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/store"
)

// AbsenceRule says after how long a device is absent of which nothing is heard. A device that several rules select goes by the one with the shortest time.
type AbsenceRule struct {
	// After is how long nothing was heard. At least [MinAbsence]. Of a device that is connected, it is one and a half times its keep-alive if that is longer. Required.
	After time.Duration
	// IDs selects devices by a pattern of their identifiers. Default: all.
	IDs string `yaml:"ids,omitempty"`
	// Type selects devices of that type. Default: all.
	Type string `yaml:"type,omitempty"`
	// Tags selects devices that have all of these tags. Default: all.
	Tags []string `yaml:"tags,omitempty"`
}

// Absence is the data of an event on "$devices/{id}/absent", which is published once for each absence, and on "$devices/{id}/present", when something was heard again.
type Absence struct {
	ID string `json:"id"`
	// LastHeard is when something was heard: before the absence, or after it.
	LastHeard time.Time `json:"last_heard"`
	At        time.Time `json:"at"`
}

func (r *AbsenceRule) selects(d *Device) bool {
	missing := func(tag string) bool { return !slices.Contains(d.Tags, tag) }
	return (r.IDs == "" || bus.Glob(r.IDs, d.ID)) && (r.Type == "" || r.Type == d.Type) && !slices.ContainsFunc(r.Tags, missing)
}

// absentAfter returns after how long a device is absent; 0 is never.
func (c *Config) absentAfter(d *Device) (after time.Duration) {
	for i := range c.Absence {
		r := &c.Absence[i]
		if (after == 0 || r.After < after) && r.selects(d) {
			after = r.After
		}
	}
	return after
}

// absentAfter returns after how long a device is absent; 0 is never. One that is connected may be healthy and silent for one and a half times its keep-alive.
func (s *Service) absentAfter(e *entry) time.Duration {
	after := s.config.absentAfter(&e.Device)
	if after > 0 && e.Online {
		after = max(after, e.KeepAlive*3/2)
	}
	return after
}

// wheel has the devices that are to be looked at, by the second. A device is in it once, if a rule selects it and something may become of it: what was heard
// meanwhile is asked for only then, so that a message costs nothing.
type wheel struct {
	mu    sync.Mutex
	slots map[int64][]string // neither is made before it is needed
	armed map[string]place
	upto  int64 // the second before which nothing is left
}

// place is where in the wheel a device is.
type place struct {
	second int64
	index  int // in the slot
}

// arm has a device looked at, unless it is to be looked at before that already.
func (w *wheel) arm(id string, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	second := max(at.Unix()+1, w.upto) // not before it
	before, has := w.armed[id]
	if has && before.second <= second {
		return
	}
	if has {
		w.remove(id, before)
	}
	if w.armed == nil {
		w.armed, w.slots = map[string]place{}, map[int64][]string{}
	}
	w.armed[id] = place{second, len(w.slots[second])}
	w.slots[second] = append(w.slots[second], id)
}

// armIdle has a device looked at, unless it is to be looked at already.
func (w *wheel) armIdle(id string, at time.Time) {
	w.mu.Lock()
	_, has := w.armed[id]
	w.mu.Unlock()
	if !has {
		w.arm(id, at)
	}
}

// remove takes a device from its place, which the last of the slot gets: a device that is armed anew again and again leaves nothing behind.
func (w *wheel) remove(id string, at place) {
	slot := w.slots[at.second]
	last := len(slot) - 1
	slot[at.index], w.armed[slot[last]] = slot[last], at
	slot[last] = ""
	delete(w.armed, id)
	if w.slots[at.second] = slot[:last]; last == 0 {
		delete(w.slots, at.second)
	}
}

// take returns some of the devices that are to be looked at now.
func (w *wheel) take(now time.Time, most int) (ids []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	second := now.Unix()
	if w.upto == 0 || second-w.upto > int64(len(w.slots)) { // the clock has jumped, or nothing was looked at yet
		for at := range w.slots {
			if at <= second {
				ids = w.takeSlot(ids, at, most)
			}
		}
	} else {
		for at := w.upto; at <= second && len(ids) < most; at++ {
			ids = w.takeSlot(ids, at, most)
		}
	}
	if len(ids) < most {
		w.upto = second + 1
	}
	return ids
}

// takeSlot takes from the end of a slot, so that those before it keep their places.
func (w *wheel) takeSlot(ids []string, at int64, most int) []string {
	slot := w.slots[at]
	left := max(0, len(slot)-(most-len(ids)))
	for _, id := range slot[left:] {
		delete(w.armed, id)
	}
	ids = append(ids, slot[left:]...)
	if left == 0 {
		delete(w.slots, at)
	} else {
		clear(slot[left:])
		w.slots[at] = slot[:left]
	}
	return ids
}

// expect has a device looked at when it may be absent, if a rule selects it. One that never connected is looked at once: it may have reported something.
func (s *Service) expect(e *entry) {
	if after := s.absentAfter(e); after > 0 {
		s.wheel.arm(e.ID, e.LastSeen.Add(after))
	}
}

// updated has a device looked at of which a subject says that its state was updated: it may have reported something, which a door need not know. It is called once the
// update is on disk, as one that is looked at before that is still as it was.
func (s *Service) updated(subject string) {
	id, tail, _ := strings.Cut(strings.TrimPrefix(subject, bus.DeviceRoot+"/"), "/")
	may := func(r AbsenceRule) bool { return r.IDs == "" || bus.Glob(r.IDs, id) }
	if tail == "state/update/accepted" && slices.ContainsFunc(s.config.Absence, may) {
		s.wheel.armIdle(id, s.now())
	}
}

// absences looks at the devices whose time has come.
func (s *Service) absences(ctx context.Context) error {
	if len(s.config.Absence) == 0 {
		return nil
	}
	if err := s.noteLife(ctx); err != nil {
		return err
	}
	most := min(leavingBatch, max(1, s.store.Limits().Operations/8))
	for ids := s.wheel.take(s.now(), most); len(ids) > 0; ids = s.wheel.take(s.now(), most) {
		if err := s.judge(ctx, ids); err != nil {
			for _, id := range ids {
				s.wheel.arm(id, s.now())
			}
			return err
		}
	}
	return nil
}

// judge finds out which devices are absent, or present again, and tells so with one commit.
func (s *Service) judge(ctx context.Context, ids []string) error {
	b := &store.Batch{}
	var events []*event.Event
	again := map[string]time.Time{}
	for _, id := range ids {
		defer s.locks.lock(id)()
		e, err := s.read(ctx, id)
		if err != nil {
			return err
		}
		told, next, err := s.judgeOne(ctx, &e, b)
		if err != nil {
			return err
		}
		if told != nil {
			events = append(events, told)
		}
		if !next.IsZero() {
			again[id] = next
		}
	}
	if b.Operations() > 0 {
		if err := s.commit(b, events...); err != nil {
			return err
		}
	}
	for id, at := range again {
		s.wheel.arm(id, at)
	}
	return nil
}

// judgeOne adds to a batch that a device is absent, or present again, and returns when it is to be looked at next; zero is not until something is heard of it.
func (s *Service) judgeOne(ctx context.Context, e *entry, b *store.Batch) (told *event.Event, next time.Time, err error) {
	after := s.absentAfter(e)
	if e.revision == 0 || after == 0 {
		return nil, next, nil
	}
	heard, err := s.lastHeard(ctx, &e.Device)
	if err != nil || heard.IsZero() {
		return nil, next, err
	}
	now, since := s.now(), heard
	if cut := e.Cut || e.Online && e.Life != s.life; cut && !e.Absent { // until the next start, it has had no chance to be heard
		if begun := s.begunAfter(e.Life); since.Before(begun) {
			since = begun
		}
	}
	absent := now.Sub(since) >= after
	switch {
	case !absent:
		next = since.Add(after)
	case e.Online: // it may say something without connecting first
		next = now.Add(max(MinAbsence, after/absentLooks))
	}
	if absent == e.Absent {
		return nil, next, nil
	}
	e.Absent = absent
	tail := "present"
	if absent {
		tail = "absent"
	}
	told, err = s.tell(subjectOf(e.ID, tail), Absence{ID: e.ID, LastHeard: heard, At: now})
	if err == nil {
		err = e.put(b)
	}
	return told, next, err
}

// lastHeard returns when something was heard of a device.
func (s *Service) lastHeard(ctx context.Context, d *Device) (time.Time, error) {
	heard := d.LastSeen
	if at, ok := s.opts.LastHeard(d.ID); ok && at.After(heard) {
		heard = at
	}
	v, err := s.store.Get(ctx, consumer.StateKey(inbox, stateName, d.ID))
	if err != nil {
		return heard, fmt.Errorf("reading the state of the device %q: %w", d.ID, err)
	}
	var reported struct {
		Heard int64 `json:"heard"`
	}
	if json.Unmarshal(v.Data, &reported) == nil { // one that cannot be read must not hide the device, nor hold up others
		if at := time.UnixMilli(reported.Heard).UTC(); reported.Heard > 0 && at.After(heard) {
			heard = at
		}
	}
	return heard, nil
}
