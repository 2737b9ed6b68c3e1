package device

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/store"
)

// Device is what is known of a device.
type Device struct {
	ID       string   `json:"id"`
	Type     string   `json:"type,omitempty"`
	Tags     []string `json:"tags,omitempty"` // sorted
	Declared bool     `json:"declared"`       // by somebody, and not only seen
	Online   bool     `json:"online"`
	Absent   bool     `json:"absent,omitempty"` // nothing was heard of it for longer than a rule allows
	// Epoch is the number of its last connection: each has a greater one than all before it.
	Epoch    uint64 `json:"epoch"`
	Address  string `json:"address,omitempty"` // of the last connection
	Protocol string `json:"protocol,omitempty"`
	User     string `json:"user,omitempty"`
	// FirstSeen is when it connected for the first time, and LastSeen when something was last heard of it: see [AbsenceRule]. They are zero if it never was.
	FirstSeen time.Time `json:"first_seen,omitzero"`
	LastSeen  time.Time `json:"last_seen,omitzero"`
}

// entry is a device with what only the service knows of it.
type entry struct {
	Device
	Life  event.ID // of the process with which it was connected last
	Since uint64   // the epoch of the connection with which its session began: later ones have resumed that

	KeepAlive time.Duration // of its last connection
	Cut       bool          // the server stopped while it was connected, and it has not come back

	revision uint64
}

// record is an entry as it is stored, in half the bytes that a [Device] has as JSON: each connection writes one.
type record struct {
	Type     string   `json:"t,omitempty"`
	Tags     []string `json:"g,omitempty"`
	Declared bool     `json:"d,omitempty"`
	Online   bool     `json:"o,omitempty"`
	Absent   bool     `json:"x,omitempty"`
	Epoch    uint64   `json:"e,omitempty"`
	Since    uint64   `json:"s,omitempty"`
	Address  string   `json:"a,omitempty"`
	Protocol string   `json:"p,omitempty"`
	User     string   `json:"u,omitempty"`
	First    int64    `json:"f,omitempty"` // Unix nanoseconds
	Last     int64    `json:"l,omitempty"`
	Life     event.ID `json:"i,omitzero"`
	Keep     int64    `json:"k,omitempty"` // seconds
	Cut      bool     `json:"c,omitempty"`
}

func (e *entry) record() *record {
	return &record{
		Type: e.Type, Tags: e.Tags, Declared: e.Declared, Online: e.Online, Absent: e.Absent, Epoch: e.Epoch, Since: e.Since,
		Address: e.Address, Protocol: e.Protocol, User: e.User, First: nanos(e.FirstSeen), Last: nanos(e.LastSeen), Life: e.Life,
		Keep: int64(e.KeepAlive / time.Second), Cut: e.Cut,
	}
}

func (r *record) entry(id string, revision uint64) entry {
	return entry{
		Device: Device{
			ID: id, Type: r.Type, Tags: r.Tags, Declared: r.Declared, Online: r.Online, Absent: r.Absent, Epoch: r.Epoch,
			Address: r.Address, Protocol: r.Protocol, User: r.User, FirstSeen: fromNanos(r.First), LastSeen: fromNanos(r.Last),
		},
		Life: r.Life, Since: r.Since, KeepAlive: time.Duration(r.Keep) * time.Second, Cut: r.Cut, revision: revision,
	}
}

// nanos returns Unix nanoseconds, and 0 for no time.
func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func fromNanos(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}

// The keys of the store.
const (
	registryPrefix = "$devices/registry/"
	// floorKey has the greatest epoch of the devices that were removed, so that one which comes back does not begin below it.
	floorKey = "$devices/floor"
)

// read returns a device; one that is not there has the revision 0.
func (s *Service) read(ctx context.Context, id string) (entry, error) {
	v, err := s.store.Get(ctx, registryPrefix+id)
	if err != nil {
		return entry{}, &storeError{fmt.Errorf("reading the device %q: %w", id, err)}
	}
	if v.Revision == 0 {
		return entry{Device: Device{ID: id}}, nil
	}
	return decodeEntry(store.Entry{Key: registryPrefix + id, Value: v})
}

func decodeEntry(stored store.Entry) (e entry, err error) {
	var r record
	if err := json.Unmarshal(stored.Data, &r); err != nil {
		return e, fmt.Errorf("the device that is stored as %q cannot be read: %w", stored.Key, err)
	}
	return r.entry(strings.TrimPrefix(stored.Key, registryPrefix), stored.Revision), nil
}

// put adds a device to a batch, which fails if somebody else has changed the device meanwhile.
func (e *entry) put(b *store.Batch) error {
	key := registryPrefix + e.ID
	data, err := json.Marshal(e.record())
	if err != nil {
		return err
	}
	b.Requires = append(b.Requires, store.Require{Key: key, Revision: e.revision})
	b.Puts = append(b.Puts, store.Put{Key: key, Data: data})
	return nil
}

// enter takes the place of a new device. The caller gives it back with s.count if the device is not committed.
func (s *Service) enter(id string) error {
	if most := s.config.Limits.Devices; s.count.Add(1) > int64(most) {
		s.count.Add(-1)
		return fmt.Errorf("the device %q is one more than %d: %w", id, most, ErrTooMany)
	}
	return nil
}

// floor returns the epoch above which those of new devices begin.
func (s *Service) floor(ctx context.Context) (epoch, revision uint64, err error) {
	v, err := s.store.Get(ctx, floorKey)
	if err == nil && v.Revision != 0 {
		err = json.Unmarshal(v.Data, &epoch)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("reading the epoch of removed devices: %w", err)
	}
	return epoch, v.Revision, nil
}

// change reads a device under its lock, has fn decide what to commit, and commits that, again if another process was faster. A batch that fn leaves
// empty is not committed, and takes no place of those that there are for devices.
func (s *Service) change(ctx context.Context, id string, fn func(e *entry, b *store.Batch) ([]*event.Event, error)) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.locks.lock(id)()
	for n := 1; ; n++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		e, err := s.read(ctx, id)
		if err != nil {
			return err
		}
		known := e.revision != 0
		if !known {
			if e.Epoch, _, err = s.floor(ctx); err != nil {
				return err
			}
		}
		b := &store.Batch{}
		events, err := fn(&e, b)
		if err != nil || b.Operations() == 0 {
			return err
		}
		if !known {
			if err := s.enter(id); err != nil {
				return err
			}
		}
		if err = s.commit(b, events...); err != nil && !known {
			s.count.Add(-1)
		}
		if !errors.Is(err, store.ErrConflict) || n == maxConflicts {
			return err
		}
	}
}

// CheckID tells why a text cannot be the identifier of a device, with [ErrID].
func (s *Service) CheckID(id string) error { return s.config.validID(id) }

// Declare makes a device known, or changes the type and the tags of one that is, and returns it.
func (s *Service) Declare(ctx context.Context, id, kind string, tags []string) (d Device, err error) {
	if err := errors.Join(s.config.validID(id), s.config.checkLabels(kind, tags)); err != nil {
		return d, err
	}
	tags = slices.Clone(tags)
	slices.Sort(tags)
	tags = slices.Compact(tags)
	var changed entry
	err = s.change(ctx, id, func(e *entry, b *store.Batch) ([]*event.Event, error) {
		e.Type, e.Tags, e.Declared = kind, tags, true
		d, changed = e.Device, *e
		return nil, e.put(b)
	})
	if err != nil {
		return Device{}, fmt.Errorf("declaring the device %.128q: %w", id, err)
	}
	s.expect(&changed)
	return s.told(ctx, d)
}

// Remove forgets a device that is not connected, with its state. One that connects again is a new one, with a greater epoch.
func (s *Service) Remove(ctx context.Context, id string) error {
	defer s.locks.lock("")() // before that of the device, as nobody else takes both
	err := s.change(ctx, id, func(e *entry, b *store.Batch) ([]*event.Event, error) {
		switch {
		case e.revision == 0:
			return nil, ErrNotFound
		case e.Online:
			return nil, ErrOnline
		}
		floor, revision, err := s.floor(ctx)
		if err != nil {
			return nil, err
		}
		if e.Epoch > floor {
			b.Requires = append(b.Requires, store.Require{Key: floorKey, Revision: revision})
			b.Puts = append(b.Puts, store.Put{Key: floorKey, Data: fmt.Append(nil, e.Epoch)})
		}
		key := registryPrefix + id
		b.Requires = append(b.Requires, store.Require{Key: key, Revision: e.revision})
		b.Deletes = append(b.Deletes, key)
		return []*event.Event{s.input(id, inputForget, nil)}, nil
	})
	if err != nil {
		return fmt.Errorf("removing the device %.128q: %w", id, err)
	}
	s.count.Add(-1)
	return nil
}

// told returns a device as others see it.
func (s *Service) told(ctx context.Context, d Device) (_ Device, err error) {
	d.LastSeen, err = s.lastHeard(ctx, &d)
	return d, err
}

// Get returns a device.
func (s *Service) Get(ctx context.Context, id string) (Device, error) {
	d, err := s.known(ctx, id)
	if err != nil {
		return Device{}, err
	}
	return s.told(ctx, d)
}

// known returns a device as it is stored.
func (s *Service) known(ctx context.Context, id string) (Device, error) {
	err := s.config.validID(id)
	if err != nil {
		return Device{}, fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	e, err := s.read(ctx, id)
	if err == nil && e.revision == 0 {
		err = fmt.Errorf("%w: %.128q", ErrNotFound, id)
	}
	if err != nil {
		return Device{}, err
	}
	return e.Device, nil
}

// Query selects devices.
type Query struct {
	After  string            // only those with identifiers that come after it
	Limit  int               // how many at most. Default and most 1000
	Type   string            // only those of this type
	Tags   []string          // only those that have all of these
	Online *bool             // only those that are connected, or that are not
	Absent *bool             // only those that are absent, or that are not
	Allow  func(Device) bool // only those for which it returns true. Default: all
}

func (q *Query) wants(d *Device) bool {
	missing := func(tag string) bool { return !slices.Contains(d.Tags, tag) }
	return (q.Type == "" || q.Type == d.Type) && (q.Online == nil || *q.Online == d.Online) && (q.Absent == nil || *q.Absent == d.Absent) &&
		!slices.ContainsFunc(q.Tags, missing) && (q.Allow == nil || q.Allow(*d))
}

// Page is a part of a list.
type Page struct {
	Devices []Device `json:"devices"`
	// After is where the next page begins; "" if there is none. A page may have few devices, or none, and be followed by others.
	After string `json:"after,omitempty"`
}

// List returns devices by identifier, a page at a time.
func (s *Service) List(ctx context.Context, q Query) (Page, error) {
	if q.Limit <= 0 || q.Limit > maxPage {
		q.Limit = maxPage
	}
	page := Page{Devices: []Device{}}
	after := q.After
	for scanned := 0; scanned < maxScanned; {
		entries, err := s.store.Scan(ctx, registryPrefix, registryPrefix+after, readPage)
		if err != nil {
			return page, fmt.Errorf("listing the devices: %w", err)
		}
		for _, stored := range entries {
			e, err := decodeEntry(stored)
			if err != nil {
				return page, err
			}
			after = strings.TrimPrefix(stored.Key, registryPrefix)
			if !q.wants(&e.Device) {
				continue
			}
			d, err := s.told(ctx, e.Device)
			if err != nil {
				return page, err
			}
			page.Devices = append(page.Devices, d)
			if len(page.Devices) == q.Limit {
				page.After = after
				return page, nil
			}
		}
		if scanned += len(entries); len(entries) < readPage {
			return page, nil
		}
	}
	page.After = after
	return page, nil
}
