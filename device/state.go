package device

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spate-io/spate/consumer"
	"github.com/spate-io/spate/event"
)

// State is what a device should be and what it says that it is.
type State struct {
	Desired  map[string]any `json:"desired"`
	Reported map[string]any `json:"reported"`
	// Delta is what of Desired is missing in Reported, or different.
	Delta map[string]any `json:"delta,omitempty"`
	// Version grows with each update. 0 means that there was none.
	Version uint64 `json:"version"`
	// Metadata has the time of the last update of each field, in Unix milliseconds.
	Metadata Metadata `json:"metadata"`
	// Timestamp is when the state was updated last, in Unix milliseconds.
	Timestamp int64 `json:"timestamp"`
}

// Metadata has a time for each value of a state that is no object, in the place of the value.
type Metadata struct {
	Desired  map[string]any `json:"desired"`
	Reported map[string]any `json:"reported"`
}

// Update is a change of a state. Sections are JSON merge patches (RFC 7396); null empties one, and one that is missing stays.
type Update struct {
	Desired  json.RawMessage `json:"desired,omitempty"`
	Reported json.RawMessage `json:"reported,omitempty"`
	// Version, if it is not nil, is the version that the state must have.
	Version *uint64 `json:"-"`
}

// document is a state as it is stored.
type document struct {
	Version  uint64         `json:"version"`
	At       int64          `json:"at"`
	Heard    int64          `json:"heard,omitempty"` // when Reported was updated last
	Desired  map[string]any `json:"desired,omitempty"`
	Reported map[string]any `json:"reported,omitempty"`
	Times    Metadata       `json:"times"`
}

// stateName is the state of the consumer of the inbox that has the document.
const stateName = "state"

func decodeDocument(data []byte) (*document, error) {
	doc := &document{}
	if len(data) > 0 {
		if err := unmarshal(data, doc); err != nil {
			return nil, fmt.Errorf("the state that is stored cannot be read: %w", err)
		}
	}
	return doc, nil
}

// document returns the state of the device, as the turns before it have left it.
func (t *turn) document() (*document, error) {
	data, err := t.get(stateName)
	if err != nil {
		return nil, err
	}
	return decodeDocument(data)
}

func (d *document) delta() map[string]any { return difference(d.Desired, d.Reported) }

// state returns the document as others see it.
func (d *document) state() State {
	return State{
		Desired: some(d.Desired), Reported: some(d.Reported), Delta: d.delta(), Version: d.Version, Timestamp: d.At,
		Metadata: Metadata{Desired: some(d.Times.Desired), Reported: some(d.Times.Reported)},
	}
}

// some returns an object that is not nil, so that it is written as {}.
func some(object map[string]any) map[string]any {
	if object == nil {
		return map[string]any{}
	}
	return object
}

// request is an update as it was asked for.
type request struct {
	State       map[string]any
	Version     *uint64
	ClientToken string
}

// sectionRequest reads an update of one section: the data is the patch itself.
func sectionRequest(section string, data []byte) (request, error) {
	patch, err := decodeJSON(data, MaxStateDepth+1)
	return request{State: map[string]any{section: patch}}, err
}

// parseRequest reads {"state":{"desired":…,"reported":…},"version":…,"clientToken":"…"}.
func parseRequest(data []byte, depth int) (r request, err error) {
	const around = 2 // levels around a section
	if nested(data) > depth+around {
		return r, fmt.Errorf("%w: more than %d levels", ErrTooLarge, depth)
	}
	var form struct {
		State       map[string]any `json:"state"`
		Version     *uint64        `json:"version"`
		ClientToken string         `json:"clientToken"`
	}
	if err := unmarshal(data, &form); err != nil {
		return r, fmt.Errorf("it is not JSON of the form {\"state\":{\"desired\":{},\"reported\":{}}}: %w", err)
	}
	r = request(form)
	if len(r.ClientToken) > maxToken {
		return request{}, fmt.Errorf("clientToken has %d bytes, at most %d are allowed", len(r.ClientToken), maxToken)
	}
	return r, nil
}

// check refuses an update that means nothing.
func (r *request) check() error {
	for name, section := range r.State {
		if name != "desired" && name != "reported" {
			return fmt.Errorf("%w: the state has desired and reported, and no %.40q", ErrDocument, name)
		}
		if _, object := section.(map[string]any); !object && section != nil {
			return fmt.Errorf("%w: %s must be an object, or null to empty it", ErrDocument, name)
		}
	}
	if len(r.State) == 0 {
		return fmt.Errorf("%w: there is neither desired nor reported in it", ErrDocument)
	}
	return nil
}

// apply changes the document as an update wants.
func (d *document) apply(r *request, now time.Time, limits Limits) error {
	if r.Version != nil && *r.Version != d.Version {
		return fmt.Errorf("%w: it is %d, not %d", ErrVersion, d.Version, *r.Version)
	}
	at := now.UnixMilli()
	for name, patch := range r.State {
		values, times := &d.Desired, &d.Times.Desired
		if name == "reported" {
			values, times = &d.Reported, &d.Times.Reported
			d.Heard = at
		}
		if patch == nil {
			*values, *times = nil, nil
			continue
		}
		*values, _ = merge(anyOf(*values), patch).(map[string]any)
		*times, _ = mergeTimes(anyOf(*times), patch, at).(map[string]any)
		if n := depthOf(*values); n > limits.StateDepth {
			return fmt.Errorf("%w: %s has %d levels, at most %d are allowed", ErrTooLarge, name, n, limits.StateDepth)
		}
	}
	d.Version, d.At = d.Version+1, at
	return nil
}

// anyOf returns nil for no object, which is not the same as an object that is nil.
func anyOf(object map[string]any) any {
	if object == nil {
		return nil
	}
	return object
}

// depthOf returns how deeply a value is nested.
func depthOf(v any) (n int) {
	switch v := v.(type) {
	case map[string]any:
		for _, inner := range v {
			n = max(n, depthOf(inner))
		}
		return n + 1
	case []any:
		for _, inner := range v {
			n = max(n, depthOf(inner))
		}
		return n + 1
	}
	return 0
}

// notUsable says of what is wrong with a document which error it is.
func notUsable(wrong error) error {
	if wrong == nil || errors.Is(wrong, ErrTooLarge) {
		return wrong
	}
	return fmt.Errorf("%w: %w", ErrDocument, wrong)
}

// update changes the state of the device, and tells what became of it.
func (t *turn) update(r request, wrong error) error {
	if wrong = cmp.Or(t.correlated(), notUsable(wrong)); wrong == nil {
		wrong = r.check()
	}
	e, err := t.read(t.ctx, t.id)
	if err != nil {
		return err
	}
	if e.revision == 0 {
		wrong = fmt.Errorf("%w: %.128q; declare it first", ErrNotFound, t.id)
	}
	if wrong != nil {
		return t.reject("state/update/rejected", &r, wrong)
	}
	doc, err := t.document()
	if err != nil {
		return err
	}
	before, heard := doc.state(), doc.Heard
	old, err := json.Marshal(before) // the maps are about to be changed
	was, failed := json.Marshal(before.Delta)
	if err = errors.Join(err, failed); err != nil {
		return err
	}
	if wrong = doc.apply(&r, t.now(), t.config.Limits); wrong != nil {
		return t.reject("state/update/rejected", &r, wrong)
	}
	data, err := json.Marshal(doc)
	if err != nil {
		return err
	}
	if most := t.config.Limits.State; len(data) > most {
		return t.reject("state/update/rejected", &r, fmt.Errorf("%w: it would have %d bytes, at most %d are allowed", ErrTooLarge, len(data), most))
	}
	told, changed, wrong := t.tellUpdate(&r, doc, old)
	if wrong != nil {
		return t.reject("state/update/rejected", &r, fmt.Errorf("%w: what changes cannot be told: %w", ErrTooLarge, wrong))
	}
	if err := errors.Join(t.Put(stateName, data), t.Publish(told), t.Publish(changed)); err != nil {
		return err
	}
	if err := t.heardState(&e, doc, heard == 0); err != nil {
		return err
	}
	is, err := json.Marshal(doc.delta())
	if _, asked := r.State["desired"]; err == nil && (asked || !bytes.Equal(was, is)) {
		return t.tellDelta(doc, r.ClientToken)
	}
	return err
}

// heardState follows from an update that may be what the device has reported. The first one of a device that never connected says that it listens in another way.
func (t *turn) heardState(e *entry, doc *document, first bool) error {
	if doc.Heard != doc.At || !first || !e.FirstSeen.IsZero() {
		return nil
	}
	return t.onQueue(func(*queue) error { return nil })
}

// tellUpdate makes the events that tell what an update has changed.
func (t *turn) tellUpdate(r *request, doc *document, old []byte) (told, changed *event.Event, err error) {
	times := map[string]any{}
	for name, section := range r.State {
		fields, _ := section.(map[string]any)
		all := doc.Times.Desired
		if name == "reported" {
			all = doc.Times.Reported
		}
		times[name] = timesOf(fields, anyOf(all))
	}
	told, err = t.event("state/update/accepted", struct {
		State     map[string]any `json:"state"`
		Metadata  map[string]any `json:"metadata"`
		Version   uint64         `json:"version"`
		Timestamp int64          `json:"timestamp"`
		Token     string         `json:"clientToken,omitempty"`
	}{r.State, times, doc.Version, doc.At, r.ClientToken}, t.replying(r)...)
	if err != nil {
		return nil, nil, err
	}
	changed, err = t.event("state/documents", struct {
		Previous  json.RawMessage `json:"previous"`
		Current   State           `json:"current"`
		Timestamp int64           `json:"timestamp"`
		Token     string          `json:"clientToken,omitempty"`
	}{old, doc.state(), doc.At, r.ClientToken})
	return told, changed, err
}

// correlated tells why the correlation data of a request cannot come back in the answer: an event has a limit on its headers, and the request may have reached it.
func (t *turn) correlated() error {
	if n := len(t.Event.Header(event.CorrelationData)); n > maxCorrelation {
		return fmt.Errorf("%w: its correlation data has %d bytes, at most %d are allowed", ErrTooLarge, n, maxCorrelation)
	}
	return nil
}

// replying are the headers of an answer.
func (t *turn) replying(r *request) []event.Header {
	headers := []event.Header{{Name: headerRequest, Value: t.Event.ID.String()}}
	if id := t.Event.Header(event.CorrelationData); id != "" && len(id) <= maxCorrelation {
		headers = append(headers, event.Header{Name: event.CorrelationData, Value: id})
	}
	if r.ClientToken != "" {
		headers = append(headers, event.Header{Name: headerToken, Value: r.ClientToken})
	}
	return headers
}

// headerToken has the token of the client that asked.
const headerToken = "client-token"

// A Rejection is the data of an event that says why something was not done.
type Rejection struct {
	// Code is that of HTTP: 400, 404, 409 or 413.
	Code      int    `json:"code"`
	Message   string `json:"message"`
	Timestamp int64  `json:"timestamp"`
	Token     string `json:"clientToken,omitempty"`
}

// rejections are the errors that others are told of, and their codes.
func rejections() map[int]error {
	return map[int]error{400: ErrDocument, 404: ErrNotFound, 409: ErrVersion, 413: ErrTooLarge}
}

// reject tells that something was not done.
func (t *turn) reject(tail string, r *request, why error) error {
	told := Rejection{Code: 400, Message: why.Error(), Timestamp: t.now().UnixMilli(), Token: r.ClientToken}
	for code, err := range rejections() {
		if errors.Is(why, err) {
			told.Code = code
		}
	}
	return t.publish(tail, told, t.replying(r)...)
}

// tellDelta publishes what the device should change, if there is anything.
func (t *turn) tellDelta(doc *document, token string) error {
	delta := doc.delta()
	if delta == nil {
		return nil
	}
	if err := t.noteDelta(); err != nil {
		return err
	}
	return t.publish("state/delta", struct {
		State     map[string]any `json:"state"`
		Metadata  map[string]any `json:"metadata"`
		Version   uint64         `json:"version"`
		Timestamp int64          `json:"timestamp"`
		Token     string         `json:"clientToken,omitempty"`
	}{delta, timesOf(delta, anyOf(doc.Times.Desired)), doc.Version, t.now().UnixMilli(), token})
}

// answerGet answers who asked for the state over a topic.
func (t *turn) answerGet() error {
	const rejected = "state/get/rejected"
	if wrong := t.correlated(); wrong != nil {
		return t.reject(rejected, &request{}, wrong)
	}
	var r request
	if len(t.Event.Data) > 0 {
		var err error
		if r, err = parseRequest(t.Event.Data, t.config.Limits.StateDepth); err != nil {
			return t.reject(rejected, &request{}, notUsable(err))
		}
	}
	e, err := t.read(t.ctx, t.id)
	if err != nil {
		return err
	}
	if e.revision == 0 {
		return t.reject(rejected, &r, fmt.Errorf("%w: %.128q", ErrNotFound, t.id))
	}
	doc, err := t.document()
	if err != nil {
		return err
	}
	told, wrong := t.event("state/get/accepted", struct {
		State
		Token string `json:"clientToken,omitempty"`
	}{doc.state(), r.ClientToken}, t.replying(&r)...)
	if wrong != nil {
		return t.reject(rejected, &r, fmt.Errorf("%w: the state cannot be told: %w", ErrTooLarge, wrong))
	}
	return t.Publish(told)
}

// State returns the state of a device.
func (s *Service) State(ctx context.Context, id string) (State, error) {
	if _, err := s.known(ctx, id); err != nil {
		return State{}, err
	}
	v, err := s.store.Get(ctx, consumer.StateKey(inbox, stateName, id))
	if err != nil {
		return State{}, fmt.Errorf("reading the state of the device %q: %w", id, err)
	}
	doc, err := decodeDocument(v.Data)
	if err != nil {
		return State{}, err
	}
	return doc.state(), nil
}

// UpdateState changes the state of a device, and returns it as it is then, once that is on disk. It waits until the context ends, or for [DefaultWait] if that has no
// deadline; then the state may be updated nevertheless. [ErrVersion] means that the state has another version than [Update].Version.
func (s *Service) UpdateState(ctx context.Context, id string, u Update) (State, error) {
	if _, err := s.known(ctx, id); err != nil {
		return State{}, err
	}
	data, err := json.Marshal(struct {
		State   Update  `json:"state"`
		Version *uint64 `json:"version,omitempty"`
	}{u, u.Version})
	if err != nil {
		return State{}, fmt.Errorf("%w: %w", ErrDocument, err)
	}
	if most := 2 * s.config.Limits.State; len(data) > min(most, maxInput) {
		return State{}, fmt.Errorf("%w: the update has %d bytes", ErrTooLarge, len(data))
	}
	if _, has := ctx.Deadline(); !has {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, DefaultWait)
		defer cancel()
	}
	told, err := s.ask(ctx, s.input(id, inputState, data), 0)
	if err != nil {
		return State{}, fmt.Errorf("updating the state of the device %q: %w", id, err)
	}
	var r Rejection
	if err := json.Unmarshal(told.Data, &r); err == nil && r.Code != 0 {
		return State{}, &rejected{rejections()[r.Code], r.Message}
	}
	return s.State(ctx, id)
}

// rejected is a rejection as an error.
type rejected struct {
	why  error
	text string
}

// Error returns the message of the rejection.
func (r *rejected) Error() string { return r.text }

// Unwrap returns what is known of it.
func (r *rejected) Unwrap() error { return r.why }
