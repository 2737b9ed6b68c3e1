package load

import (
	"context"
	"fmt"
)

// An mqttName is which session of a run is meant.
type mqttName struct {
	role   mqttRole
	number int
}

// leave says goodbye and closes everything.
func (r *mqttRun) leave() {
	for i := range r.conns {
		c := &r.conns[i]
		if c.state == mqttUp && len(c.out) == 0 {
			c.out = append(c.out, mqttDisconnect, 0)
			r.wrap(c, 0)
			_ = c.flush()
		}
		c.close()
	}
}

// settle waits for those that are about to be up: a CONNECT that is answered later than the one that ends its session would make another.
func (r *mqttRun) settle() {
	r.publishing = false
	for r.dialing > 0 && len(r.lasting) > 0 && r.m.now()-r.progress < dialPatience {
		if r.serve(pollMax) != nil {
			return
		}
	}
}

// endSessions ends the sessions that outlive their connections, which the server would keep for hours and store for in later runs: each connects once more, to a
// session that does not last. An interrupt has ended the measuring, and not this.
func (r *mqttRun) endSessions(ctx context.Context) error {
	if len(r.lasting) == 0 {
		return nil
	}
	r.ending, r.publishing, r.storm, r.dialing = true, false, nil, 0
	r.conns, r.queue = make([]mqttConn, 0, len(r.lasting)), nil
	for name := range r.lasting {
		r.conns = append(r.conns, mqttConn{number: name.number, role: name.role, socket: socket{fd: -1}})
	}
	err := r.connect(context.WithoutCancel(ctx))
	for err == nil && r.leaving() {
		if r.m.now()-r.progress > dialPatience {
			break // it has the server's word, and only its goodbye does not leave
		}
		err = r.serve(pollMax)
	}
	r.leave()
	if err != nil {
		return fmt.Errorf("the sessions of this run could not be ended, and are kept by the server for %v: %w", mqttLasting, err)
	}
	return nil
}

// leaving tells whether a goodbye has not left yet.
func (r *mqttRun) leaving() bool {
	for i := range r.conns {
		if r.conns[i].fd >= 0 {
			return true
		}
	}
	return false
}

// goes tells whether a connection says goodbye as soon as it is up.
func (r *mqttRun) goes(c *mqttConn) bool { return r.ending || c.role == mqttOfflineRole }

// lasts tells whether the session of a connection outlives it.
func (r *mqttRun) lasts(c *mqttConn) bool {
	return !r.ending && (c.role == mqttOfflineRole || r.o.Durable && c.role != mqttPublisherRole)
}
