package server

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/spate-io/spate"
	"github.com/spate-io/spate/auth"
	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/protocol/httpapi"
	"github.com/spate-io/spate/protocol/mqtt"
	"github.com/spate-io/spate/protocol/mqtt/packet"
	"github.com/spate-io/spate/protocol/resp"
)

// check reports everything that is wrong with the configuration and can be seen
// without opening a listener, each with its place and its key.
func (s *Settings) check() (errs []error) {
	fail := func(path, format string, args ...any) {
		if s.doubtful(path) {
			return // what is wrong with it may be that it could not be read
		}
		errs = append(errs, s.problem(path, fmt.Errorf(format, args...)))
	}
	if len(s.Listen) == 0 {
		fail("listen", "is empty: a server that listens to nothing does nothing")
	}
	s.checkTLS("tls", s.TLS, fail)
	noRoles := len(s.Auth.Roles) == 0 && s.lacks("auth.roles")
	open := s.checkAuth(func(err error) {
		path, _, _ := strings.Cut(err.Error(), ": ")
		if !s.doubtful(path) && (!noRoles || path != "auth.roles" && !strings.Contains(path, ".roles[")) {
			errs = append(errs, s.located(err))
		}
	})
	open = open && !s.lacks("auth")
	for i, l := range s.Listen {
		path := fmt.Sprintf("listen[%d]", i)
		s.checkListener(path, l, open, fail)
		_, address, _ := strings.Cut(l.URL, "://")
		same := slices.IndexFunc(s.Listen[:i], func(other Listener) bool { return strings.HasSuffix(other.URL, "://"+address) })
		if same >= 0 && address != "" && !strings.HasSuffix(address, ":0") {
			fail(path, "%s is there already, as the address of listen[%d]; give each address once", address, same)
		}
	}
	checkEngine("engine", s.Engine, fail)
	if err := new(slog.LevelVar).UnmarshalText([]byte(s.Log.Level)); err != nil || s.Log.Level == "" {
		fail("log.level", "%q is not one of debug, info, warn and error", s.Log.Level)
	}
	switch s.Log.Format {
	case "auto", "text", "json":
	default:
		fail("log.format", "%q is not one of auto, text and json", s.Log.Format)
	}
	if c := s.RESP.CreateStreams; c != "yes" && c != "no" && c != "auto" {
		fail("resp.create_streams", "%q is not one of yes, no and auto", c)
	}
	s.checkStreams(fail)
	for _, p := range s.Devices.Problems() {
		fail("devices."+p.Key, "%w", p.Err)
	}
	if _, known := mqttAcks()[s.MQTT.Ack]; !known {
		fail("mqtt.ack", "%q is not one of stored and received", s.MQTT.Ack)
	}
	if _, known := mqttOverflows()[s.MQTT.Overflow]; !known {
		fail("mqtt.overflow", "%q is not one of drop-oldest, drop-newest and end-session", s.MQTT.Overflow)
	}
	if _, known := overflows()[s.RESP.Overflow]; !known {
		fail("resp.overflow", "%q is not one of disconnect, drop-newest, drop-oldest and block", s.RESP.Overflow)
	}
	s.checkLimits(fail)
	s.checkEvents(fail)
	s.checkHTTP(fail)
	s.checkMQTT(fail)
	return errs
}

// checkEvents refuses limits in which what the server itself says of devices would not fit, so that none could connect. Zero is the default.
func (s *Settings) checkEvents(fail func(path, format string, args ...any)) {
	e := s.Bus.Event
	for _, l := range []struct {
		key      string
		n, least int
	}{
		{"subject_length", e.SubjectLength, 256}, // $devices/ID/commands/COMMAND/request/METHOD
		{"subject_levels", e.SubjectLevels, 8},
		{"headers", e.Headers, 8},
		{"header_bytes", e.HeaderBytes, 2 << 10}, // the correlation data of a request, and what says what it answers
		{"data_length", e.DataLength, 4 << 10},
	} {
		if l.n != 0 && l.n < l.least {
			fail("bus.event."+l.key, "%d is less than %d, the least that holds what the server itself says of devices", l.n, l.least)
		}
	}
	if n := e.SubjectLength; n > event.MaxSubjectLength {
		fail("bus.event.subject_length", "%d is more than %d, the most that MQTT can say", n, event.MaxSubjectLength)
	}
}

// checkHTTP refuses origins that no browser sends, and hosts that no Host header names.
func (s *Settings) checkHTTP(fail func(path, format string, args ...any)) {
	for i, o := range s.HTTP.Origins {
		if err := httpapi.CheckOrigin(o); err != nil {
			fail(fmt.Sprintf("http.origins[%d]", i), "%w", err)
		}
	}
	other := func(r rune) bool {
		return r != '-' && r != '.' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}
	for i, h := range s.HTTP.Hosts {
		if _, err := netip.ParseAddr(h); err == nil {
			continue
		}
		if h == "" || strings.ContainsFunc(h, other) || strings.HasSuffix(h, ".") {
			fail(fmt.Sprintf("http.hosts[%d]", i), "%.80q is not the name of a host: write it as app.example.com, without a scheme, a port, a wildcard or a dot at its end", h)
		}
	}
}

// checkMQTT refuses limits of MQTT that the protocol cannot say, or that let nobody in.
func (s *Settings) checkMQTT(fail func(path, format string, args ...any)) {
	const (
		least    = 256 // a CONNECT with a will and a password
		leastLog = 1 << 20
	)
	l := s.MQTT.Limits
	switch most := s.Limits.Message; {
	case l.PacketSize < least:
		fail("mqtt.limits.packet_size", "%d is less than %d bytes, the least that is of use", l.PacketSize, least)
	case l.PacketSize > packet.MaxPacketSize:
		fail("mqtt.limits.packet_size", "%d is more than %d bytes, the largest packet that there is", l.PacketSize, packet.MaxPacketSize)
	case most > 0 && l.PacketSize >= most && l.PacketSize != mqtt.DefaultPacketSize: // which follows limits.message
		fail("mqtt.limits.packet_size", "%d has to be less than limits.message, which is %d: a packet is collected before it is looked at", l.PacketSize, most)
	}
	for i, name := range s.MQTT.SharedByKey {
		path := fmt.Sprintf("mqtt.shared_by_key[%d]", i)
		if name == "" || strings.ContainsAny(name, "/+#") {
			fail(path, "%.80q is not the name of a shared subscription: it has at least one character, and none of / + #; * stands for all", name)
		} else if same := slices.Index(s.MQTT.SharedByKey, name); same < i {
			fail(path, "%.80q is there already, as mqtt.shared_by_key[%d]; give each name once", name, same)
		}
	}
	if l.ConnectSize < least {
		fail("mqtt.limits.connect_size", "%d is less than %d bytes, the least that is of use", l.ConnectSize, least)
	}
	if l.Inflight > mqtt.MaxInflight {
		fail("mqtt.limits.inflight", "%d is more than %d, the most that can be on their way", l.Inflight, mqtt.MaxInflight)
	}
	if l.Receive > mqtt.MaxReceive {
		fail("mqtt.limits.receive", "%d is more than %d, the most that the protocol can say", l.Receive, mqtt.MaxReceive)
	}
	if l.TopicAliases > mqtt.MaxTopicAliases {
		fail("mqtt.limits.topic_aliases", "%d is more than %d, the most that the protocol can say", l.TopicAliases, mqtt.MaxTopicAliases)
	}
	if l.LogBytes != 0 && l.LogBytes < leastLog {
		fail("mqtt.limits.log_bytes", "%d is less than %d (1MiB), the least: what waits for a session would be lost before it comes back", l.LogBytes, leastLog)
	}
	if l.Expiry > 0 && l.Expiry < time.Second {
		fail("mqtt.limits.expiry", "%s is less than 1s, the least that the protocol can say; 0s is for ever", l.Expiry)
	}
	if k := l.KeepAlive; k != 0 && (k < time.Second || k > 65535*time.Second || k%time.Second != 0) {
		fail("mqtt.limits.keep_alive", "%s is not a number of seconds from 1 to 65535", k)
	}
}

// checkStreams reports what is wrong with the streams, whose filters depend on the limits of events.
func (s *Settings) checkStreams(fail func(path, format string, args ...any)) {
	if s.doubtful("bus.event") {
		return
	}
	names := make(map[string]int)
	for i, c := range s.Streams {
		path := fmt.Sprintf("streams[%d]", i)
		for _, p := range c.Problems(s.Bus.Event) {
			fail(path+"."+p.Key, "%w", p.Err)
		}
		if same, twice := names[c.Name]; twice && c.Name != "" {
			fail(path+".name", "%.80q is the name of streams[%d] already; give each name once", c.Name, same)
		} else {
			names[c.Name] = i
		}
	}
}

func checkEngine(path, name string, fail func(path, format string, args ...any)) {
	switch name {
	case engine.Net:
	case engine.Epoll:
		if defaultEngine() != engine.Epoll {
			fail(path, "epoll needs Linux; use net")
		}
	default:
		fail(path, "%q is not one of epoll and net", name)
	}
}

// checkTLS reads the certificate, if one is named.
func (s *Settings) checkTLS(path string, t TLS, fail func(path, format string, args ...any)) {
	switch t.MinVersion {
	case "", "1.2", "1.3":
	default:
		fail(path+".min_version", "%q is not one of 1.2 and 1.3", t.MinVersion)
	}
	if t.unset() {
		return
	}
	if _, err := engine.LoadCertificates(t.files()); err != nil {
		fail(path, "%w", err)
	}
}

// checkAuth reports what is wrong with auth, and whether it is not configured.
func (s *Settings) checkAuth(report func(error)) (open bool) {
	a, err := auth.New(s.Auth, auth.Options{})
	if err != nil {
		if joined, ok := err.(interface{ Unwrap() []error }); ok {
			for _, err := range joined.Unwrap() {
				report(err)
			}
		} else {
			report(err)
		}
		return false
	}
	if err := a.Close(); err != nil {
		report(err)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Auth.Roles)) {
		// Read from a file, a list that is empty is one that is not there, which would allow every identifier.
		if path := "auth.roles." + name + ".clients"; len(s.Auth.Roles[name].Clients) == 0 && s.written(path) {
			report(fmt.Errorf("%s: is empty; leave it out if every client identifier may be used, or list those that may", path))
		}
	}
	if !a.Enabled() && s.written("auth") {
		report(errors.New("auth: is there, but configures nobody, which would leave everything open: " +
			"configure users, tokens or certificates, and roles, or remove the key"))
		return false
	}
	return !a.Enabled()
}

// written tells whether a source has the key or one below it, whatever its value.
func (s *Settings) written(path string) bool {
	for set := range s.origins {
		if set == path || strings.HasPrefix(set, path+".") {
			return true
		}
	}
	return false
}

func (s *Settings) checkListener(path string, l Listener, open bool, fail func(path, format string, args ...any)) {
	if l.URL == "" {
		fail(path, "has no url, such as resp://127.0.0.1:6379")
		return
	}
	about := spate.Listener{URL: l.URL, Insecure: l.Insecure}
	if err := about.Validate(open); err != nil {
		fail(path, "%w", err)
	}
	if secure(l.URL) && l.TLS == (TLS{}) && s.TLS.unset() && !s.lacks("tls") {
		fail(path, "%s needs a certificate: set tls.cert and tls.key, or --tls-cert and --tls-key", l.URL)
	}
	if l.TLS != (TLS{}) && l.TLS.unset() {
		fail(path+".tls", "names no certificate: it stands in place of all of tls, so set cert and key here too")
	}
	s.checkTLS(path+".tls", l.TLS, fail)
	if l.Engine != "" {
		checkEngine(path+".engine", l.Engine, fail)
	}
}

// checkLimits refuses limits that leave no room for any work, and those that
// promise what cannot be kept.
func (s *Settings) checkLimits(fail func(path, format string, args ...any)) {
	const least = 1 << 10
	for path, n := range map[string]int{
		"limits.message": s.Limits.Message, "limits.buffered": s.Limits.Buffered, "http.limits.header": s.HTTP.Limits.Header,
	} {
		if n < least && n != none {
			fail(path, "%d is less than %d bytes, the least that is of use", n, least)
		}
	}
	for path, n := range map[string]int{"limits.message": s.Limits.Message, "resp.limits.bulk": s.RESP.Limits.Bulk} {
		if n > resp.MaxRequest {
			fail(path, "%d is more than %d bytes (1GiB), the largest request that resp can read", n, resp.MaxRequest)
		}
	}
	for path, n := range map[string]int{
		"limits.connections": s.Limits.Connections, "limits.per_address": s.Limits.PerAddress, "limits.accept_rate": s.Limits.AcceptRate,
		"limits.handshakes": s.Limits.Handshakes, "http.limits.connections": s.HTTP.Limits.Connections, "http.limits.per_address": s.HTTP.Limits.PerAddress,
	} {
		if n == 0 {
			fail(path, "0 would let nobody in")
		}
	}
}

// problem puts the place of a key before what is wrong with it.
func (s *Settings) problem(path string, err error) error {
	from := s.origin(path)
	if s.flags[strings.TrimSuffix(from, ": ")] && (from != "" || s.isSet(path)) {
		return fmt.Errorf("%s%w", from, err) // the flag says enough
	}
	return fmt.Errorf("%s%s: %w", from, path, err)
}

// isSet tells whether the key, or the one that it is an item of, was given at all.
func (s *Settings) isSet(path string) bool {
	_, found := s.origins[sectionOf(path)]
	return found
}

// located finds the place of an error of package auth, which begins with its key.
func (s *Settings) located(err error) error {
	path, _, _ := strings.Cut(err.Error(), ": ")
	return fmt.Errorf("%s%w", s.origin(path), err)
}

// origin is the place of the key, of one below it, or of the nearest above it
// that was set, with a colon.
func (s *Settings) origin(path string) string {
	for _, set := range slices.Sorted(maps.Keys(s.origins)) {
		if set == path || strings.HasPrefix(set, path+".") {
			return colon(s.origins[set])
		}
	}
	for path != "" {
		if from, found := s.origins[path]; found {
			return colon(from)
		}
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
	return ""
}

// colon ends the name of a place, if it has one.
func colon(place string) string {
	if place == "" {
		return ""
	}
	return place + ": "
}
