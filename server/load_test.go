package server

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// file writes a configuration and returns its path.
func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "spate.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Each thing that can be wrong in a file is reported with its place, its key and what to do.
func TestFilesThatAreWrong(t *testing.T) {
	for _, test := range []struct {
		name, text string
		want       []string // each line of the error, after the path of the file
	}{
		{"an unknown key", "limits:\n  conections: 5\n", []string{":2: limits.conections: unknown key; did you mean connections?"}},
		{"a key that is like none", "log:\n  tint: red\n", []string{":2: log.tint: unknown key; known here: level, format"}},
		{"an unknown key in a list", "listen:\n  - url: echo://127.0.0.1:0\n    tsl: {}\n", []string{":3: listen[0].tsl: unknown key; did you mean tls?"}},
		{"a key twice", "engine: net\nengine: net\n", []string{":2: engine: is there already, in line 1; give each key once"}},
		{"not a number", "limits:\n  connections: many\n", []string{`:2: limits.connections: "many" is not a whole number from 0 up, such as 1000 or 64KiB`}},
		{"a negative number", "limits:\n  connections: -1\n", []string{`:2: limits.connections: "-1" is not a whole number from 0 up, such as 1000 or 64KiB`}},
		{"a number that overflows", "limits:\n  buffered_total: 9999999999GiB\n", []string{`:2: limits.buffered_total: "9999999999GiB" is not a whole number from 0 up, such as 1000 or 64KiB`}},
		{"none where there must be a limit", "http:\n  limits:\n    connections: none\n", []string{`:3: http.limits.connections: "none" is not a whole number from 0 up, such as 1000 or 64KiB`}},
		{"a duration without a unit", "drain_timeout: 10\n", []string{`:1: drain_timeout: "10" is not a duration: write a number and a unit, such as 500ms, 10s or 5m`}},
		{"not a truth", "http: {pprof: yes}\n", []string{`:1: http.pprof: "yes" is not true or false`}},
		{"a word for a list", "http:\n  hosts: a\n", []string{`:2: http.hosts: expected a list, found "a"`}},
		{"a list for a word", "engine: [net]\n", []string{":1: engine: expected a single value, found a list"}},
		{"a word for keys", "limits: 5\n", []string{`:1: limits: expected keys and values, found "5"`}},
		{"not YAML", "listen: [\n", []string{":1: not YAML: did not find expected node content"}},
		{"two documents", "engine: net\n---\nengine: net\n", []string{":2: a second document begins here; a configuration is one document"}},
		{"aliases", "tls: &a {cert: x}\n", []string{":1: tls: anchors and aliases are not supported: write the value out"}},
		{"a listener that is none", "listen: [redis://127.0.0.1:1]\n", []string{`:1: listen[0]: "redis://127.0.0.1:1" is not a listener: the protocol "redis" is not known; echo, resp, http, mqtt, mqtts, ws and wss are`}},
		{"no listeners", "listen: []\n", []string{":1: listen: is empty: a server that listens to nothing does nothing"}},
		{"a listener for strangers", "listen:\n  - http://0.0.0.0:80\n", []string{
			":2: listen[0]: refusing to listen on http://0.0.0.0:80: it is reachable from other machines without authentication; " +
				"configure auth (users, tokens or certificates, and roles), or listen on 127.0.0.1"}},
		{"MQTT over TLS without a certificate", "listen: ['mqtts://127.0.0.1:0', 'mqtt://0.0.0.0:1']\n", []string{":1: listen[0]: mqtts://127.0.0.1:0 needs a certificate: set tls.cert and tls.key", ":1: listen[1]: refusing to listen on mqtt://0.0.0.0:1"}},
		{"TLS without a certificate", "listen: [resp+tls://127.0.0.1:0]\n", []string{":1: listen[0]: resp+tls://127.0.0.1:0 needs a certificate: set tls.cert and tls.key"}},
		{"a certificate that is not there", "tls:\n  cert: /nowhere\n  key: /nowhere\n", []string{
			":1: tls: loading the certificate /nowhere with the key /nowhere: open /nowhere: no such file or directory"}},
		{"an engine that does not exist", "engine: kqueue\n", []string{`:1: engine: "kqueue" is not one of epoll and net`}},
		{"a level that does not exist", "log: {level: loud}\n", []string{`:1: log.level: "loud" is not one of debug, info, warn and error`}},
		{"limits of MQTT that it cannot say", "mqtt:\n  limits:\n    packet_size: 2MiB\n    connect_size: 10\n    keep_alive: 500ms\n", []string{
			":3: mqtt.limits.packet_size: 2097152 has to be less than limits.message, which is 1048576: a packet is collected before it is looked at",
			":4: mqtt.limits.connect_size: 10 is less than 256 bytes, the least that is of use",
			":5: mqtt.limits.keep_alive: 500ms is not a number of seconds from 1 to 65535"}},
		{"more than MQTT can count", "mqtt:\n  limits:\n    expiry: 500ms\n    inflight: 99999\n    receive: 70000\n    topic_aliases: 100000\n", []string{
			":4: mqtt.limits.inflight: 99999 is more than 7935, the most that can be on their way", ":5: mqtt.limits.receive: 70000 is more than 65535, the most that the protocol can say",
			":6: mqtt.limits.topic_aliases: 100000 is more than 65535, the most that the protocol can say", ":3: mqtt.limits.expiry: 500ms is less than 1s, the least that the protocol can say"}},
		{"auth without roles", "auth:\n  users:\n    - name: anna\n      password: secret\n", []string{
			":1: auth.roles: there is no role", ":4: auth.users[0].password: is not an argon2id or bcrypt hash; make one with: spate hash-password"}},
		{"a hash that is not quoted", "auth:\n  users: [{name: a, password: $argon2id$m=1,t=2$secret}]\n", []string{
			":2: auth.users[0].(not a word: quote values that hold commas, colons or braces): unknown key; known here: name, password, scram, roles", ":1: auth.roles: there is no role"}},
		{"a password out of its place", "auth:\n  users: [secret]\n", []string{":2: auth.users[0]: expected keys and values, found a single value", ":1: auth.roles: there is no role"}},
		{"what is wrong in auth beside an unknown key", "limit: {}\nauth:\n  usrs: []\n  users:\n    - {name: anna, pasword: x, password: secret, roles: [boss]}\n  roles: {guest: {publsh: []}}\nlisten: [mqtts://127.0.0.1:1, echo://0.0.0.0:1]\n", []string{
			":1: limit: unknown key; did you mean limits?", ":3: auth.usrs: unknown key; did you mean users?", ":5: auth.users[0].pasword: unknown key; did you mean password?",
			":6: auth.roles.guest.publsh: unknown key; did you mean publish?", `:5: auth.users[0].roles[0]: there is no role "boss" in auth.roles`,
			":5: auth.users[0].password: is not an argon2id or bcrypt hash", ":7: listen[1]: refusing to listen on echo://0.0.0.0:1"}},
		{"roles out of their place", "auth:\n  users:\n    - {name: anna, password: secret, roles: [boss]}\nroles: {boss: {admin: true}}\n", []string{
			":4: roles: unknown key", ":3: auth.users[0].password: is not an argon2id or bcrypt hash"}},
		{"a limit that lets nobody in", "limits:\n  connections: 0\n", []string{":2: limits.connections: 0 would let nobody in"}},
		{"a request that is too long for resp", "limits:\n  message: 1025MiB\n", []string{
			":2: limits.message: 1074790400 is more than 1073741824 bytes (1GiB), the largest request that resp can read"}},
		{"an argument that is too long for resp", "resp:\n  limits:\n    bulk: 2GiB\n", []string{":3: resp.limits.bulk: 2147483648 is more than 1073741824 bytes (1GiB)"}},
		{"a stream with a name of the server", "streams:\n  - {name: $evil, subjects: [a]}\n", []string{
			`:2: streams[0].name: "$evil" is the server's own`}},
		{"two streams of one name", "streams:\n  - {name: a, subjects: [a]}\n  - name: b\n    subjects: [b]\n  - subjects: [c]\n    name: a\n", []string{
			`:6: streams[2].name: "a" is the name of streams[0] already; give each name once`}},
		{"streams that make no sense", "streams:\n  - name: a\n    subjects:\n      - a/+\n      - a/#/b\n      - a/+\n    key: level:3\n    max_age: 1ms\n" +
			"    max_bytes: 5\n    max_events: 7\n    durability: maybe\n  - name: b\n    subjects: ['#']\n    key: level:999999\n    dedupe: -1s\n    max_bytes: 2000\n    max_event_bytes: 3000\n", []string{
			":5: streams[0].subjects[1]: ", ":11: streams[0].durability: must be fsync, interval or none, not \"maybe\"",
			`:6: streams[0].subjects[2]: "a/+" is there already, as subjects[0]; give each filter once`,
			":8: streams[0].max_age: 1ms is less than 1s, the least", ":9: streams[0].max_bytes: 5 is less than 1024, the least",
			":15: streams[1].dedupe: must not be negative", `:14: streams[1].key: "level:999999" names a level that no subject of the stream has: they have 128 at most`,
			":16: streams[1].max_bytes: 2000 is less than the largest event of the stream, max_event_bytes: 3000"}},
		{"what is read beside what is not", "limits: {connections: many, per_address: 0}\nstreams:\n  - {name: a, subjects: [a], max_age: soon, durability: maybe}\n" +
			"  - {name: b, subjcts: [b], key: level}\nauth:\n  password_cache: long\n  users: [{name: anna, password: secret}]\nlog: {tint: red, level: loud}\nlisten: [redis://127.0.0.1:1]\n", []string{
			`:1: limits.connections: "many" is not`, `:3: streams[0].max_age: "soon" is no duration`, ":4: streams[1].subjcts: unknown key; did you mean subjects?",
			`:6: auth.password_cache: "long" is not a duration`, ":8: log.tint: unknown key", ":5: auth.roles: there is no role", ":7: auth.users[0].password: is not",
			`:9: listen[0]: "redis://127.0.0.1:1" is not a listener`, `:8: log.level: "loud" is not`, ":3: streams[0].durability: must be", ":4: streams[1].key: must be",
			":1: limits.per_address: 0 would let nobody in"}},
		{"events in which those of the server do not fit", "bus:\n  event:\n    subject_length: 20\n    subject_levels: 1\n    headers: 7\n    header_bytes: 1\n    data_length: 100\n    key_length: 0\n", []string{
			":3: bus.event.subject_length: 20 is less than 256, the least that holds what the server itself says of devices", ":4: bus.event.subject_levels: 1 is less than 8, ",
			":5: bus.event.headers: 7 is less than 8, ", ":6: bus.event.header_bytes: 1 is less than 2048, ", ":7: bus.event.data_length: 100 is less than 4096, "}},
		{"subjects that MQTT cannot say", "bus: {event: {subject_length: 65536, subject_levels: 8, headers: 0}}\n", []string{
			":1: bus.event.subject_length: 65536 is more than 65535, the most that MQTT can say"}},
		{"several things", "engine: kqueue\nlog: {format: xml}\n", []string{
			`:1: engine: "kqueue" is not one of epoll and net`, `:2: log.format: "xml" is not one of auto, text and json`}},
		{"a word that is like another by chance", "foo: 1\n", []string{":1: foo: unknown key; known here: listen, engine"}},
		{"the same listener twice", "listen: [resp://127.0.0.1:7000, resp://127.0.0.1:7000]\n", []string{
			":1: listen[1]: 127.0.0.1:7000 is there already, as the address of listen[0]; give each address once"}},
		{"listeners with one address", "listen:\n  - mqtt://127.0.0.1:7000\n  - echo://127.0.0.1:17000\n  - ws://127.0.0.1:7000\n  - resp+unix:///a/s\n  - http+unix:///a/s\n  - echo://127.0.0.1:0\n  - resp://127.0.0.1:0\n", []string{
			":4: listen[2]: 127.0.0.1:7000 is there already, as the address of listen[0]", ":6: listen[4]: /a/s is there already, as the address of listen[3]"}},
		{"origins that no browser sends", "http:\n  origins:\n    - https://app.example.com\n    - '*'\n    - app.example.com\n    - https://*.example.com\n", []string{
			`:4: http.origins[1]: the origin "*" is not usable`, `:5: http.origins[2]: the origin "app.example.com" is not usable`, `:6: http.origins[3]: the origin "https://*.example.com" is not usable`}},
		{"hosts that are none", "http:\n  hosts:\n    - app.local\n    - 'a b'\n    - http://x\n    - '::1'\n    - x:80\n    - '*'\n    - a.\n    - ''\n", []string{
			`:4: http.hosts[1]: "a b" is not the name of a host`, `:5: http.hosts[2]: "http://x" is not`, `:7: http.hosts[4]: "x:80" is not`, `:8: http.hosts[5]: "*" is not`,
			`:9: http.hosts[6]: "a." is not`, `:10: http.hosts[7]: "" is not`}},
		{"names of shared subscriptions that are none", "mqtt:\n  shared_by_key:\n    - a\n    - ''\n    - '*'\n    - a\n    - '#'\n    - a/b\n", []string{
			`:4: mqtt.shared_by_key[1]: "" is not the name of a shared subscription`, `:6: mqtt.shared_by_key[3]: "a" is there already, as mqtt.shared_by_key[0]; give each name once`,
			`:7: mqtt.shared_by_key[4]: "#" is not`, `:8: mqtt.shared_by_key[5]: "a/b" is not`}},
		{"a pattern of devices that does not end", "devices:\n  ids:\n    - '[a-c]*'\n    - '[a'\n", []string{`:4: devices.ids[1]: "[a" has a [ without its ]`}},
		{"a log of MQTT that holds nothing", "mqtt:\n  limits:\n    log_bytes: 1\n", []string{":3: mqtt.limits.log_bytes: 1 is less than 1048576 (1MiB), the least"}},
		{"a version for no certificate", "listen:\n  - url: http://127.0.0.1:0\n    tls: {min_version: '1.3'}\n", []string{
			":3: listen[0].tls: names no certificate"}},
		{"a tab in the first line", "\tengine: net\n", []string{":1: not YAML: found character that cannot start any token"}},
		{"keys and values", "engine: kqueue\nlimits: {connections: many}\nlog: {level: loud}\n", []string{
			`:2: limits.connections: "many" is not`, `:1: engine: "kqueue" is not one of epoll and net`, `:3: log.level: "loud" is not`}},
		{"what follows from another mistake", "auht: {roles: {}}\nlisten: [http://0.0.0.0:80]\n", []string{":1: auht: unknown key; did you mean auth?"}},
		{"several things that are no keys", "enjin: net\nlistn: []\n", []string{
			":1: enjin: unknown key; did you mean engine?", ":2: listn: unknown key; did you mean listen?"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := file(t, test.text)
			_, err := Load(Sources{File: path})
			if err == nil {
				t.Fatal("no error")
			}
			lines := strings.Split(err.Error(), "\n")
			if len(lines) != len(test.want) {
				t.Fatalf("%d errors, want %d:\n%v", len(lines), len(test.want), err)
			}
			for i, want := range test.want {
				if got := strings.TrimPrefix(lines[i], path); !strings.HasPrefix(got, want) {
					t.Errorf("got  %s\nwant %s", got, want)
				}
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("a secret is shown: %v", err)
			}
		})
	}
}

// Later sources win, key by key, and a list replaces a list.
func TestSources(t *testing.T) {
	path := file(t, "engine: net\ndrain_timeout: 1s\nlisten: [echo://127.0.0.1:1]\nlimits: {connections: 10, idle_timeout: 5m, buffered: 64KiB}\n")
	got, err := Load(Sources{
		File:    path,
		Environ: []string{"HOME=/", "SPATE_DRAIN_TIMEOUT=2s", "SPATE_LIMITS_CONNECTIONS=20", "SPATE_LISTEN=echo://127.0.0.1:2, echo://127.0.0.1:3", "SPATE_SERVICE_HOST=10.0.0.1", "SPATE_PORT_6379_TCP_ADDR=x", "SPATE_CONFIG=y"},
		Flags: []Flag{
			{Name: "--drain-timeout", Key: "drain_timeout", Values: []string{"3s"}},
			{Name: "--listen", Key: "listen", Values: []string{"echo://127.0.0.1:4", "echo://127.0.0.1:5"}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Engine, want.DrainTimeout = "net", 3*time.Second
	want.Listen = []Listener{{URL: "echo://127.0.0.1:4"}, {URL: "echo://127.0.0.1:5"}}
	want.Limits.Connections, want.Limits.IdleTimeout, want.Limits.Buffered = 20, 5*time.Minute, 64<<10
	if !reflect.DeepEqual(got.Config, want) {
		t.Errorf("got  %+v\nwant %+v", got.Config, want)
	}
	for key, from := range map[string]string{
		"engine": path + ":1", "drain_timeout": "--drain-timeout", "limits.connections": "SPATE_LIMITS_CONNECTIONS", "listen[1]": "--listen",
	} {
		if got.origins[key] != from {
			t.Errorf("%s comes from %q, want %q", key, got.origins[key], from)
		}
	}
}

func TestVariablesThatAreWrong(t *testing.T) {
	for entry, want := range map[string]string{
		"SPATE_LIMIT_CONNECTIONS=5":    "SPATE_LIMIT_CONNECTIONS: no key of the configuration has this name; see docs/config.md",
		"SPATE_LIMITS_CONNECTIONS=x":   `SPATE_LIMITS_CONNECTIONS: limits.connections: "x" is not a whole number from 0 up, such as 1000 or 64KiB`,
		"SPATE_AUTH_ROLES={a: ":        "SPATE_AUTH_ROLES: auth.roles: not YAML: ",
		"SPATE_AUTH_ROLES={a: {b: 1}}": "SPATE_AUTH_ROLES: auth.roles.a.b: unknown key; known here: publish, subscribe, clients, admin",
		"SPATE_AUTH_ROLES=a":           `SPATE_AUTH_ROLES: auth.roles: expected keys and values, found a single value`,
	} {
		if _, err := Load(Sources{Environ: []string{entry}}); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v\nwant %s", entry, err, want)
		}
	}
	s, err := Load(Sources{Environ: []string{"SPATE_AUTH_ROLES={a: {subscribe: [news]}}", "SPATE_HTTP_HOSTS=a,b"}})
	if err != nil || !slices.Equal(s.Auth.Roles["a"].Subscribe, []string{"news"}) || !slices.Equal(s.HTTP.Hosts, []string{"a", "b"}) {
		t.Errorf("%v %+v", err, s)
	}
}

// An auth that is there and configures nobody is an error: it would leave everything open.
func TestEmptyAuth(t *testing.T) {
	const want = "auth: is there, but configures nobody, which would leave everything open"
	for _, text := range []string{
		"auth:\n", "auth: {}\n", "auth: {users: []}\n", "auth:\n  users:\n", "auth:\n  roles:\n  users:\n  tokens: []\n  certificates: []\n", "auth: {tries: {burst: 7}}\n",
	} {
		path := file(t, "engine: net\n"+text)
		if _, err := Load(Sources{File: path}); err == nil || !strings.HasPrefix(err.Error(), path+":2: "+want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v", text, err)
		}
	}
	for entry, want := range map[string]string{
		"SPATE_AUTH_USERS=[]":          "SPATE_AUTH_USERS: " + want,
		"SPATE_AUTH_ROLES={}":          "SPATE_AUTH_ROLES: auth.roles: there is no role",
		"SPATE_AUTH_TRIES_BURST=7":     "SPATE_AUTH_TRIES_BURST: " + want,
		"SPATE_AUTH_PASSWORD_CACHE=5m": "SPATE_AUTH_PASSWORD_CACHE: " + want,
	} {
		if _, err := Load(Sources{Environ: []string{entry}}); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v", entry, err)
		}
	}
	for _, text := range []string{"clients: []", "clients:"} {
		path := file(t, "auth:\n  roles:\n    a:\n      "+text+"\n")
		if _, err := Load(Sources{File: path}); err == nil || !strings.HasPrefix(err.Error(), path+":4: auth.roles.a.clients: is empty") {
			t.Errorf("%s: %v", text, err)
		}
	}
	s, err := Load(Sources{File: file(t, "engine: net\n")})
	if err != nil {
		t.Fatal(err)
	}
	var printed bytes.Buffer
	if err := s.Print(&printed); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(Sources{File: file(t, printed.String())}); err != nil {
		t.Errorf("what is printed without auth cannot be read: %v", err)
	}
}

// What Print prints is the configuration again.
func TestPrintRoundTrip(t *testing.T) {
	s, err := Load(Sources{File: file(t, `
listen:
  - url: echo://0.0.0.0:1
    insecure: true
  - resp://127.0.0.1:2
log: {level: debug}
limits: {accept_rate: 5, per_address: none}
auth:
  roles: {guest: {subscribe: [news]}}
  tries: {burst: 7}
`)})
	if err != nil {
		t.Fatal(err)
	}
	var printed bytes.Buffer
	if err := s.Print(&printed); err != nil {
		t.Fatal(err)
	}
	again, err := Load(Sources{File: file(t, printed.String())})
	if err != nil {
		t.Fatalf("%v in\n%s", err, printed.String())
	}
	if !reflect.DeepEqual(s.Config, again.Config) {
		t.Errorf("got  %+v\nwant %+v", again.Config, s.Config)
	}
}

// A secret is *** wherever a configuration is shown.
func TestPrintHidesSecrets(t *testing.T) {
	s := &Settings{Config: Default(), origins: map[string]string{}}
	s.Auth.Users = append(s.Auth.Users, user("anna", "$2a$10$abc"))
	var printed bytes.Buffer
	if err := s.Print(&printed); err != nil {
		t.Fatal(err)
	}
	if text := printed.String(); strings.Contains(text, "$2a$") || !strings.Contains(text, "password: '***'") {
		t.Error(text)
	}
}

func TestSnake(t *testing.T) {
	for name, want := range map[string]string{"PerAddress": "per_address", "HTTP": "http", "IdleTimeout": "idle_timeout", "KeysURL": "keys_url", "RESPLimits": "resp_limits"} {
		if got := snake(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

func FuzzLoad(f *testing.F) {
	for _, text := range slices.Sorted(maps.Keys(map[string]bool{
		"listen: [echo://127.0.0.1:0]\n": true, "auth: {roles: {a: {publish: ['#']}}}": true, "limits: {connections: none}": true,
		"a: &a [*a]": true, "? [x]\n: y": true, "- - - -": true, "http: {limits: {header: 1GiB}}": true,
	})) {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s := &Settings{Config: Default(), origins: map[string]string{}}
		errs := s.readText("f", []byte(text))
		for _, err := range errs {
			if !strings.HasPrefix(err.Error(), "f") {
				t.Errorf("an error without its place: %v", err)
			}
		}
	})
}

// A node that is told nothing speaks with redis-cli, mosquitto_pub and curl, where they look for one, on this machine.
func TestDefaultListeners(t *testing.T) {
	s, err := Load(Sources{})
	if err != nil {
		t.Fatal(err)
	}
	want := []Listener{{URL: "resp://127.0.0.1:6379"}, {URL: "mqtt://127.0.0.1:1883"}, {URL: "http://127.0.0.1:8080"}}
	if !reflect.DeepEqual(s.Listen, want) {
		t.Errorf("it listens on %+v", s.Listen)
	}
}
