package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spate-io/spate/internal/mqttclient"
	"github.com/spate-io/spate/protocol/mqtt/packet"
	"github.com/spate-io/spate/task"
)

// A device is one of a fleet. One task works on it.
type device struct {
	fleet   *Fleet
	id      string
	number  int
	machine *machine
	session mqttclient.Session
	known   []string // commands that are done, the oldest first
	told    string   // the state as it was reported
	been    bool     // it was connected once
}

// errCut is why a device leaves that the simulation has cut off.
var errCut = errors.New("the network was cut")

// live connects, and connects again, until ctx ends.
func (d *device) live(ctx context.Context) error {
	// They do not all begin at once, nor send at the same moment.
	every := d.fleet.opts.Every
	pause := every * time.Duration(d.number-1) / time.Duration(d.fleet.opts.Devices)
	for task.Sleep(ctx, pause) == nil {
		away, err := d.visit(ctx)
		switch {
		case ended(ctx, err):
			return nil
		case errors.Is(err, errCut):
			pause = every * time.Duration(away)
			d.skip(away)
		case !d.been:
			return err
		default:
			pause = redial
		}
	}
	return nil
}

// skip lets time pass that nobody is told of.
func (d *device) skip(seconds int) {
	for range seconds {
		d.machine.step()
	}
}

// visit is one connection, from the first packet to the last. With errCut it says for how many seconds the device is away then.
func (d *device) visit(ctx context.Context) (away int, err error) {
	c, err := d.connect(ctx)
	if err != nil {
		return 0, err
	}
	d.been = true
	d.fleet.online.Add(1)
	defer d.fleet.online.Add(-1)
	defer c.Close()
	if away, err = d.work(ctx, c); ctx.Err() != nil {
		_ = c.Disconnect() // it is over either way
		return 0, nil
	}
	d.fleet.losses.Add(1)
	return away, err
}

// connect goes on with the session, and subscribes if the server has none.
func (d *device) connect(ctx context.Context) (*mqttclient.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	o := mqttclient.Options{
		ClientID: d.id, Version: packet.V5, Resume: true, Session: &d.session, KeepAlive: keepAlive, Buffer: buffer, SessionExpiry: sessionExpiry,
		Will: &packet.Will{Topic: d.topic("status"), Payload: []byte("lost"), QoS: 1, Retain: true},
	}
	if d.number%2 == 0 {
		o.Version, o.SessionExpiry = packet.V311, 0
	}
	c, err := mqttclient.Dial(ctx, d.fleet.opts.Server, o)
	if err != nil {
		return nil, err
	}
	if !c.Connack().SessionPresent {
		_, err = c.Subscribe(ctx, packet.Subscription{Filter: d.said("commands/+/request/#"), QoS: 1})
		d.told = ""
	}
	if err == nil {
		_, err = c.Publish(ctx, mqttclient.Message{Topic: d.topic("status"), Payload: []byte("online"), QoS: 1, Retain: true})
	}
	if err != nil {
		c.Kill()
		return nil, err
	}
	return c, nil
}

// topic is one of what the device says of itself, and said one of what package device knows.
func (d *device) topic(what string) string { return "sensors/" + d.id + "/" + what }
func (d *device) said(what string) string  { return "$devices/" + d.id + "/" + what }

// work does what it is told, and says how warm it is, until the connection or the run ends.
func (d *device) work(ctx context.Context, c *mqttclient.Client) (away int, err error) {
	every := d.fleet.opts.Every
	next := time.Now().Add(every)
	for {
		m, err := until(ctx, c, next)
		switch {
		case err == nil:
			err = d.obey(ctx, c, m)
		case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
			err = d.tell(ctx, c)
			next = later(next.Add(every), time.Now())
			if seconds, cut := d.machine.cut(); cut && err == nil {
				c.Kill()
				return seconds, errCut
			}
		}
		if err != nil {
			return 0, err
		}
	}
}

// until returns the next message that comes until then.
func until(ctx context.Context, c *mqttclient.Client, then time.Time) (*mqttclient.Message, error) {
	ctx, cancel := context.WithDeadline(ctx, then)
	defer cancel()
	return c.Receive(ctx)
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// tell publishes a reading, and the state if that is another one.
func (d *device) tell(ctx context.Context, c *mqttclient.Client) error {
	celsius := d.machine.step()
	text := fmt.Appendf(nil, `{"device":%q,"celsius":%.1f}`, d.id, celsius)
	if err := d.publish(ctx, c, d.topic("temperature"), text, nil); err != nil {
		return err
	}
	d.fleet.readings.Add(1)
	return d.report(ctx, c)
}

// report reports the state, if it is another one.
func (d *device) report(ctx context.Context, c *mqttclient.Client) error {
	fault := "null" // which removes it
	if d.machine.fault != fine {
		fault = `"` + d.machine.fault + `"`
	}
	state := fmt.Sprintf(`{"fan":%t,"fault":%s}`, d.machine.fan, fault)
	if state == d.told {
		return nil
	}
	err := d.publish(ctx, c, d.said("state/reported"), []byte(state), nil)
	if err == nil {
		d.told = state
	}
	return err
}

// obey does what a command says, once, and answers: in version 5 where the command says, in 3.1.1 where the convention does.
func (d *device) obey(ctx context.Context, c *mqttclient.Client, m *mqttclient.Message) error {
	command, method, _ := strings.Cut(strings.TrimPrefix(m.Topic, d.said("commands/")), "/request/")
	answer, properties := d.said("commands/"+command+"/response"), (*packet.Properties)(nil)
	if p := m.Properties; p != nil && p.Has(packet.ResponseTopic) {
		answer, properties = p.ResponseTopic, &packet.Properties{CorrelationData: p.CorrelationData}
		properties.Set(packet.CorrelationData)
	}
	text, refused := d.do(command, method, m.Payload)
	if refused {
		answer, properties = d.said("commands/"+command+"/error"), nil
	} else {
		d.fleet.commands.Add(1) // it is done; that the answer has arrived is heard later
	}
	if err := d.publish(ctx, c, answer, text, properties); err != nil || refused {
		return err
	}
	return d.report(ctx, c)
}

// do turns the fan on or off, and returns the answer, or why not.
func (d *device) do(command, method string, payload []byte) (answer []byte, refused bool) {
	var fan struct {
		On *bool `json:"on"`
	}
	switch err := json.Unmarshal(payload, &fan); {
	case method != "fan":
		return fmt.Appendf(nil, "%.32q is no method of this device; it has fan", method), true
	case err != nil || fan.On == nil:
		return []byte(`fan needs {"on":true} or {"on":false}`), true
	}
	if !slices.Contains(d.known, command) { // else it came again, and later ones may have been done since
		d.machine.fan = *fan.On
		if d.known = append(d.known, command); len(d.known) > keptCommands {
			d.known = slices.Delete(d.known, 0, 1)
		}
	}
	return fmt.Appendf(nil, `{"fan":%t}`, d.machine.fan), false
}

// publish publishes with QoS 1, and waits for the acknowledgement.
func (d *device) publish(ctx context.Context, c *mqttclient.Client, topic string, payload []byte, p *packet.Properties) error {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	_, err := c.Publish(ctx, mqttclient.Message{Topic: topic, Payload: payload, QoS: 1, Properties: p})
	return err
}
