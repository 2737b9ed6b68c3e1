package server

import (
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/spate-io/spate"
	"github.com/spate-io/spate/auth"
	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/device"
	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/protocol/httpapi"
	"github.com/spate-io/spate/protocol/mqtt"
	"github.com/spate-io/spate/protocol/resp"
	"github.com/spate-io/spate/protocol/websocket"
	"github.com/spate-io/spate/stream"
)

// Config is what a node is told. docs/config.md describes each key with its
// default and its danger. The names of the keys are those of the fields, in
// snake case, unless a tag says otherwise.
type Config struct {
	// Listen is where the node listens. Default: resp on 127.0.0.1:6379, mqtt on 127.0.0.1:1883 and http on 127.0.0.1:8080.
	Listen []Listener
	// Engine is "epoll" or "net". Default: epoll on Linux, net elsewhere.
	Engine string
	// Data is the directory in which the node keeps streams, consumers and state. Default: spate-data, where the node
	// was started. It is locked, so that two nodes never share one. Empty means none: nothing can be stored.
	Data string
	// Streams are made when the node starts, and changed if they were configured otherwise. Default: none.
	Streams []stream.Config
	// DrainTimeout is how long a shutdown waits for requests to finish. Default 10s.
	DrainTimeout time.Duration
	// TLS is for listeners with +tls that have none of their own.
	TLS TLS
	// Log says what is logged and how.
	Log Log
	// HTTP is the HTTP door.
	HTTP HTTP
	// WebSocket is RFC 6455, on ws and http listeners.
	WebSocket WebSocket `yaml:"websocket"`
	// RESP is the Redis protocol.
	RESP RESP
	// MQTT says how MQTT behaves.
	MQTT MQTT
	// Devices says which clients are devices, and what is kept of them.
	Devices device.Config
	// Limits bound what peers can make the engine hold.
	Limits engine.Limits
	// Bus bounds subscriptions and events.
	Bus bus.Limits
	// Auth says who may do what. Default: not configured, which restricts the
	// node to this machine.
	Auth auth.Config
}

// A Listener is one place to listen. In a file it may be written as its URL alone.
type Listener struct {
	// URL is PROTOCOL://ADDRESS, see spate.Listener.
	URL string
	// TLS is the listener's own certificate. Default: that of the node.
	TLS TLS `yaml:"tls,omitempty"`
	// Strict has a listener refuse what the specification of MQTT forbids and many clients do nevertheless, also over WebSockets. Default: no.
	Strict bool `yaml:"strict,omitempty"`
	// Insecure lets echo be reached from other machines. Default: no.
	Insecure bool `yaml:"insecure,omitempty"`
	// Engine is "epoll" or "net". Default: that of the node.
	Engine string `yaml:"engine,omitempty"`
}

// TLS names the files of a certificate, in PEM.
type TLS struct {
	// Cert is the certificate chain, leaf first, and Key its private key.
	Cert string `yaml:"cert,omitempty"`
	Key  string `yaml:"key,omitempty"`
	// ClientCA holds the authorities whose client certificates are verified. Default: clients are not asked for one.
	ClientCA string `yaml:"client_ca,omitempty"`
	// RequireClient refuses clients without a certificate. Default: no.
	RequireClient bool `yaml:"require_client,omitempty"`
	// MinVersion is "1.2" or "1.3". Default 1.2.
	MinVersion string `yaml:"min_version,omitempty"`
}

// Log says what is logged and how.
type Log struct {
	// Level is debug, info, warn or error. Default info.
	Level string
	// Format is text, json or auto: text on a terminal and JSON otherwise. Default auto.
	Format string
}

// HTTP is the HTTP door.
type HTTP struct {
	// PProf serves Go's profiles. Default: no.
	PProf bool `yaml:"pprof"`
	// Origins are those whose pages may call the API. Default: none but the door's own.
	Origins []string
	// Hosts are names under which a local listener may be called. Default: addresses and localhost.
	Hosts []string
	// Limits bound what clients of the door can make it hold.
	Limits httpapi.Limits
}

// WebSocket is RFC 6455, on ws and http listeners.
type WebSocket struct {
	// Limits bound what clients can do before and beside what they are carried to.
	Limits websocket.Limits
}

// RESP is the Redis protocol.
type RESP struct {
	// Overflow is what happens to events for a subscriber that reads too slowly: disconnect,
	// drop-newest, drop-oldest or block. Default disconnect.
	Overflow string
	// CreateStreams is whether XADD makes a stream for a key that none captures: yes, no or auto, which is yes as long as
	// only this machine can connect. Default auto.
	CreateStreams string
	// Limits bound what a client can make the protocol read and keep.
	Limits resp.Limits
}

// MQTT says how MQTT behaves.
type MQTT struct {
	// Ack is when messages of QoS 1 and 2 are acknowledged: stored, or received, which loses some at a crash. Default stored.
	Ack string
	// Overflow is what happens to a message that a session has no room for: drop-oldest, drop-newest, or end-session. Default drop-oldest.
	Overflow string
	// SharedByKey are the names of shared subscriptions that give all messages of one key to the same member; "*" stands for all. Default: none.
	SharedByKey []string
	// Server is where version 5 clients are told to go instead. Default: nowhere.
	Server string
	// Limits bound what clients can make the broker hold.
	Limits mqtt.Limits
}

// options are those of the broker.
func (m *MQTT) options(message int) mqtt.Config {
	if message > 0 {
		m.Limits.PacketSize = min(m.Limits.PacketSize, message-1)
	}
	return mqtt.Config{Ack: mqttAcks()[m.Ack], Overflow: mqttOverflows()[m.Overflow], ByKey: m.SharedByKey, Server: m.Server, Limits: m.Limits}
}

func mqttAcks() map[string]mqtt.Ack {
	return map[string]mqtt.Ack{"stored": mqtt.AckStored, "received": mqtt.AckReceived}
}

func mqttOverflows() map[string]mqtt.Overflow {
	return map[string]mqtt.Overflow{"drop-oldest": mqtt.DropOldest, "drop-newest": mqtt.DropNewest, "end-session": mqtt.EndSession}
}

// DefaultData is where a node keeps its data that is not told otherwise.
const DefaultData = "spate-data"

// none is a limit that is not there.
const none = -1

// Default returns the configuration of a node that is told nothing, with every
// default written out.
func Default() Config {
	return Config{
		Listen:       []Listener{{URL: "resp://127.0.0.1:6379"}, {URL: "mqtt://127.0.0.1:1883"}, {URL: "http://127.0.0.1:8080"}},
		Engine:       defaultEngine(),
		Data:         DefaultData,
		DrainTimeout: spate.DefaultDrainTimeout,
		TLS:          TLS{MinVersion: "1.2"},
		Log:          Log{Level: "info", Format: "auto"},
		HTTP: HTTP{Limits: httpapi.Limits{
			Connections: httpapi.DefaultConnections, PerAddress: httpapi.DefaultPerAddress,
			Header: httpapi.DefaultHeader, Body: httpapi.DefaultBody,
			HandshakeTimeout: httpapi.DefaultHandshakeTimeout, HeaderTimeout: httpapi.DefaultHeaderTimeout,
			RequestTimeout: httpapi.DefaultRequestTimeout, IdleTimeout: httpapi.DefaultIdleTimeout,
			WriteTimeout: httpapi.DefaultWriteTimeout,
			Publish:      httpapi.DefaultPublish, Buffered: httpapi.DefaultBuffered, Batch: httpapi.DefaultBatch,
			PublishTimeout: httpapi.DefaultPublishTimeout, Subscribers: httpapi.DefaultSubscribers,
			SubscribersPerAddress: httpapi.DefaultSubscribersPerAddress, QueueEvents: httpapi.DefaultQueueEvents,
			QueueBytes: httpapi.DefaultQueueBytes, Heartbeat: httpapi.DefaultHeartbeat,
		}},
		WebSocket: WebSocket{Limits: websocket.Limits{
			Header: websocket.DefaultHeader, Message: websocket.DefaultMessage, Fragments: websocket.DefaultFragments, Inflated: websocket.DefaultInflated,
		}},
		RESP: RESP{Overflow: "disconnect", CreateStreams: "auto", Limits: resp.Limits{
			Args: resp.DefaultArgs, NameLength: resp.DefaultNameLength, Streams: resp.StreamLimits{}.WithDefaults(),
		}},
		MQTT:    MQTT{Ack: "stored", Overflow: "drop-oldest", Limits: mqtt.Limits{}.WithDefaults()},
		Devices: device.Config{Unknown: device.Register, Grace: device.DefaultGrace, Limits: device.Limits{}.WithDefaults()},
		Limits: engine.Limits{
			Connections: engine.DefaultConnections, PerAddress: none, AcceptRate: none, Handshakes: engine.DefaultHandshakes,
			Message: engine.DefaultMessage, Buffered: engine.DefaultBuffered, BufferedTotal: engine.DefaultBufferedTotal,
			HandshakeTimeout: engine.DefaultHandshakeTimeout, FirstTimeout: engine.DefaultFirstTimeout,
			RequestTimeout: engine.DefaultRequestTimeout, IdleTimeout: none,
			WriteTimeout: engine.DefaultWriteTimeout, LingerTimeout: engine.DefaultLingerTimeout,
		},
		Bus: bus.Limits{
			Event: event.Limits{
				SubjectLength: event.DefaultSubjectLength, SubjectLevels: event.DefaultSubjectLevels, KeyLength: event.DefaultKeyLength,
				Headers: event.DefaultHeaders, HeaderBytes: event.DefaultHeaderBytes, DataLength: event.DefaultDataLength,
			},
			Subscriptions: bus.DefaultSubscriptions, ClientSubscriptions: bus.DefaultClientSubscriptions,
			Globs: bus.DefaultGlobs, ClientGlobs: bus.DefaultClientGlobs, GlobLength: bus.DefaultGlobLength,
			DeliveryEvents: bus.DefaultDeliveryEvents, DeliveryBytes: bus.DefaultDeliveryBytes,
		},
		Auth: auth.Config{PasswordCache: 10 * time.Minute, Tries: auth.Tries{Burst: 20, Every: 6 * time.Second}},
	}
}

// overflows are the policies by name.
func overflows() map[string]engine.Overflow {
	return map[string]engine.Overflow{
		"disconnect": engine.Disconnect, "drop-newest": engine.DropNewest, "drop-oldest": engine.DropOldest, "block": engine.Block,
	}
}

// defaultEngine is the driver that package engine chooses.
func defaultEngine() string {
	if runtime.GOOS == "linux" {
		return engine.Epoll
	}
	return engine.Net
}

// sum tells apart what the files of the certificate hold. What cannot be read is
// for the loading to report.
func (t TLS) sum() (sum [sha256.Size]byte) {
	h := sha256.New()
	for _, path := range []string{t.Cert, t.Key, t.ClientCA} {
		text, _ := os.ReadFile(path)
		fmt.Fprintf(h, "%d:%s", len(text), text)
	}
	h.Sum(sum[:0])
	return sum
}

// unset tells whether nothing but the version is said, which alone makes no TLS.
func (t TLS) unset() bool {
	t.MinVersion = ""
	return t == TLS{}
}

// files is what package engine is told about the certificate.
func (t TLS) files() engine.CertificateFiles {
	files := engine.CertificateFiles{Cert: t.Cert, Key: t.Key, ClientCA: t.ClientCA, RequireClient: t.RequireClient}
	if t.MinVersion == "1.3" {
		files.MinVersion = tls.VersionTLS13
	}
	return files
}
