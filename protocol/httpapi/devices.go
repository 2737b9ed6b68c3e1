package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spate-io/spate/auth"
	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/device"
)

// Who may do something to a device is who may do the same over topics: publish on the subject that does it, or subscribe to the subject that tells of it.
const (
	tailPresence = "presence"
	tailState    = "state/documents"
	tailStatus   = "commands/+/status"
)

// devices returns the devices, or that there are none here.
func (d *Door) devices() (*device.Service, error) {
	if d.opts.Devices == nil {
		return nil, problemf(kindNotFound, "this server keeps no devices: give it a data directory")
	}
	return d.opts.Devices, nil
}

// onDevice returns the devices and the identifier in the path, if the caller may do something with a subject of that device.
func (d *Door) onDevice(c *call, action auth.Action, tail string) (*device.Service, string, error) {
	id := c.r.PathValue("id")
	set, err := d.devices()
	if err == nil {
		err = set.CheckID(id) // a wildcard must not get into the question
	}
	if err == nil && tail != "" {
		err = d.may(c, action, bus.DeviceRoot+"/"+id+"/"+tail)
	}
	return set, id, err
}

// listDevices is GET /v1/devices: those whose presence the caller may see.
func (d *Door) listDevices(c *call) error {
	set, err := d.devices()
	if err != nil {
		return err
	}
	q := c.r.URL.Query()
	after, limit, p := pageOf(q)
	if p != nil {
		return p
	}
	query := device.Query{After: after, Limit: limit, Type: q.Get("type")}
	if tags := q.Get("tags"); tags != "" {
		query.Tags = strings.Split(tags, ",")
	}
	if query.Online, err = boolOf(q, "online"); err != nil {
		return err
	}
	if query.Absent, err = boolOf(q, "absent"); err != nil {
		return err
	}
	query.Allow = func(one device.Device) bool {
		return d.opts.Auth.CanSubscribe(c.id, bus.DeviceRoot+"/"+one.ID+"/"+tailPresence)
	}
	page, err := set.List(c.r.Context(), query)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, page)
}

// showDevice is GET /v1/devices/{id}.
func (d *Door) showDevice(c *call) error {
	set, id, err := d.onDevice(c, auth.ActionSubscribe, tailPresence)
	if err != nil {
		return err
	}
	one, err := set.Get(c.r.Context(), id)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, one)
}

// declareDevice is PUT /v1/devices/{id}.
func (d *Door) declareDevice(c *call) error {
	set, id, err := d.onDevice(c, auth.ActionAdmin, "")
	if err != nil {
		return err
	}
	var body struct {
		Type string   `json:"type"`
		Tags []string `json:"tags"`
	}
	if err := d.decode(c, &body); err != nil {
		return err
	}
	one, err := set.Declare(c.r.Context(), id, body.Type, body.Tags)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, one)
}

// removeDevice is DELETE /v1/devices/{id}.
func (d *Door) removeDevice(c *call) error {
	set, id, err := d.onDevice(c, auth.ActionAdmin, "")
	if err == nil {
		err = set.Remove(c.r.Context(), id)
	}
	if err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// tellState answers with a state, whose version is its entity tag.
func (c *call) tellState(s device.State) error {
	c.w.Header().Set("ETag", fmt.Sprintf("%q", strconv.FormatUint(s.Version, 10)))
	return c.reply(http.StatusOK, s)
}

// showState is GET /v1/devices/{id}/state.
func (d *Door) showState(c *call) error {
	set, id, err := d.onDevice(c, auth.ActionSubscribe, tailState)
	if err != nil {
		return err
	}
	s, err := set.State(c.r.Context(), id)
	if err != nil {
		return err
	}
	return c.tellState(s)
}

// updateState is PATCH /v1/devices/{id}/state: JSON merge patches (RFC 7396) of the two sections. With If-Match, only of that version.
func (d *Door) updateState(c *call) error {
	set, id, err := d.onDevice(c, auth.ActionPublish, "")
	if err == nil && !d.opts.Auth.CanPublish(c.id, bus.DeviceRoot+"/"+id+"/state/reported") {
		err = d.may(c, auth.ActionPublish, bus.DeviceRoot+"/"+id+"/state/desired") // before a body is read that is not allowed in any case
	}
	if err != nil {
		return err
	}
	var u device.Update
	if err := d.decodeSections(c, &u); err != nil {
		return err
	}
	versions, err := ifMatch(c.r)
	if err != nil {
		return err
	}
	for tail, section := range map[string]json.RawMessage{"state/desired": u.Desired, "state/reported": u.Reported} {
		if section == nil {
			continue
		}
		if err := d.may(c, auth.ActionPublish, bus.DeviceRoot+"/"+id+"/"+tail); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(c.r.Context(), d.opts.Limits.PublishTimeout)
	defer cancel()
	if u.Version, err = oneOf(ctx, set, id, versions); err != nil {
		return err
	}
	s, err := set.UpdateState(ctx, id, u)
	if errors.Is(err, context.DeadlineExceeded) {
		return problemf(kindTimeout, "the state was not updated in time; it may be still")
	}
	if err != nil {
		return err
	}
	return c.tellState(s)
}

// decodeSections reads the body of an update. The names in the sections are the device's: case matters in them.
func (d *Door) decodeSections(c *call, u *device.Update) error {
	data, err := d.jsonBody(c)
	if err != nil {
		return err
	}
	if p := checkJSON(data, 1); p != nil {
		return p
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(u); err != nil {
		return problemf(kindRequest, "the body must be {\"desired\":{…},\"reported\":{…}}, one of them or both: %s", strings.TrimPrefix(err.Error(), "json: "))
	}
	if u.Desired == nil && u.Reported == nil {
		return problemf(kindRequest, "say what to change: desired, reported, or both")
	}
	return nil
}

// ifMatch reads the versions of which the state must have one (RFC 9110, section 13.1.1); none is any. A tag that no state has is passed over, if there is another.
func ifMatch(r *http.Request) (versions []uint64, err error) {
	text := strings.Join(r.Header.Values("If-Match"), ",")
	if text == "" || text == "*" {
		return nil, nil
	}
	for rest := text; ; {
		rest = strings.TrimLeft(rest, " \t,")
		if rest == "" {
			break
		}
		strong, quoted := strings.CutPrefix(rest, `"`)
		weak := !quoted
		if weak {
			strong, quoted = strings.CutPrefix(rest, `W/"`)
		}
		tag, after, closed := strings.Cut(strong, `"`)
		rest = strings.TrimLeft(after, " \t")
		if !quoted || !closed || rest != "" && rest[0] != ',' {
			versions = nil
			break
		}
		if version, err := strconv.ParseUint(tag, 10, 64); err == nil && !weak { // a weak one never is the same
			versions = append(versions, version)
		}
	}
	if len(versions) == 0 {
		return nil, problemf(kindPrecondition, "the If-Match %.40q has no ETag of a state, such as \"7\"", text)
	}
	return versions, nil
}

// oneOf returns the version that the state must have: of several, the one that it has now.
func oneOf(ctx context.Context, set *device.Service, id string, versions []uint64) (*uint64, error) {
	if len(versions) == 0 {
		return nil, nil
	}
	version := versions[0]
	if len(versions) > 1 {
		s, err := set.State(ctx, id)
		if err != nil {
			return nil, err
		}
		if slices.Contains(versions, s.Version) {
			version = s.Version
		}
	}
	return &version, nil
}

// commandBody is the body of POST /v1/devices/{id}/commands.
type commandBody struct {
	Method      string          `json:"method"`
	Payload     json.RawMessage `json:"payload"`
	Base64      []byte          `json:"payload_base64"`
	ContentType string          `json:"content_type"`
	Expiry      string          `json:"expiry"`
	Wait        string          `json:"wait"`
}

// sendCommand is POST /v1/devices/{id}/commands.
func (d *Door) sendCommand(c *call) error {
	set, id, err := d.onDevice(c, auth.ActionPublish, "")
	if err != nil {
		return err
	}
	var body commandBody
	if err := d.decodeCommand(c, &body); err != nil {
		return err
	}
	command := set.NewCommandID()
	if err := set.CheckMethod(body.Method); err != nil {
		return err
	}
	if err := d.may(c, auth.ActionPublish, device.CommandSubject(id, command, body.Method)); err != nil {
		return err
	}
	o, payload := device.CallOptions{ContentType: body.ContentType}, body.Base64
	if body.Payload != nil {
		payload = body.Payload
		if o.ContentType == "" {
			o.ContentType = "application/json"
		}
	}
	if o.Expiry, err = duration("expiry", body.Expiry, device.MaxExpiry); err != nil {
		return err
	}
	if o.Wait, err = duration("wait", body.Wait, maxCommandWait); err != nil {
		return err
	}
	ctx, cancel := d.untilDrain(c.r.Context())
	defer cancel()
	give := set.SendAs
	if o.Wait > 0 {
		give = set.CallAs
	}
	given, err := give(ctx, command, id, body.Method, payload, o)
	if err != nil && given.ID == "" {
		return err
	}
	// That it failed, expired or is not answered yet is said in the command.
	c.w.Header().Set("Location", apiPath+"devices/"+url.PathEscape(id)+"/commands/"+command)
	status := http.StatusAccepted
	if given.Final() {
		status = http.StatusOK
	}
	return c.reply(status, given)
}

// decodeCommand reads the body of a command. The payload is the device's: names in it may be anything.
func (d *Door) decodeCommand(c *call, body *commandBody) error {
	data, err := d.jsonBody(c)
	if err != nil {
		return err
	}
	if p := checkJSON(data, 1); p != nil {
		return p
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(body); err != nil {
		return problemf(kindRequest, "the body does not fit: %s", strings.TrimPrefix(err.Error(), "json: "))
	}
	if body.Payload != nil && body.Base64 != nil {
		return problemf(kindRequest, "give either payload or payload_base64")
	}
	return nil
}

// duration reads a duration that may be missing.
func duration(name, text string, most time.Duration) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	v, err := time.ParseDuration(text)
	if err != nil || v <= 0 || v > most {
		return 0, problemf(kindRequest, "%s must be a duration such as \"30s\", at most %v, not %.40q", name, most, text)
	}
	return v, nil
}

// listCommands is GET /v1/devices/{id}/commands.
func (d *Door) listCommands(c *call) error {
	set, id, err := d.onDevice(c, auth.ActionSubscribe, tailStatus)
	if err != nil {
		return err
	}
	all, err := set.Commands(c.r.Context(), id)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, map[string][]device.Command{"commands": all})
}

// showCommand is GET /v1/devices/{id}/commands/{command}.
func (d *Door) showCommand(c *call) error {
	set, id, err := d.onDevice(c, auth.ActionSubscribe, tailStatus)
	if err != nil {
		return err
	}
	command, err := set.Command(c.r.Context(), id, c.r.PathValue("command"))
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, command)
}
