package tidy

const module = "github.com/spate-io/spate"

// layers is the table of DESIGN.md, "The parts, and who may import whom". An import points down this list, never up.
// An implementation stands above the interface that it implements, and the kit for tests above what it starts.
// A new package is entered here first, where it belongs.
var layers = []layer{
	{dir: "internal/crash", testsOnly: true}, // tests that need a process of their own
	{dir: "examples"},                        // every directory below it is a program of its own
	{dir: "cmd/spate"},
	{dir: "internal/client", alone: true, onlyFrom: []string{"cmd"}},
	{dir: "internal/fleet", onlyFrom: []string{"cmd", "examples"}},
	{dir: "server", onlyFrom: []string{"cmd"}},
	{dir: "server/dashboard", onlyFrom: []string{"server"}},
	{dir: "spatetest", testsOnly: true},
	{dir: ".", testsToo: true},                                // the root: what server and users' programs share; tests of parts of it run one
	{dir: "protocol/echo", apart: "protocol", testsToo: true}, // the tests of the engine speak it
	{dir: "protocol/resp", apart: "protocol"},
	{dir: "protocol/resp/xstream", onlyFrom: []string{"protocol/resp"}},
	{dir: "protocol/resp/wire", alone: true, onlyFrom: []string{"protocol/resp", "internal/load", "cmd"}},
	{dir: "protocol/mqtt", apart: "protocol"},
	{dir: "internal/mqttclient"},
	{dir: "protocol/mqtt/packet", alone: true},
	{dir: "protocol/httpapi", apart: "protocol"},
	{dir: "protocol/websocket", apart: "protocol", carrierOf: []string{"protocol/mqtt", "protocol/httpapi"}},
	{dir: "device"},
	{dir: "flow"},
	{dir: "bus"},
	{dir: "consumer"},
	{dir: "stream"},
	{dir: "auth"},
	{dir: "store/natsstore", onlyFrom: []string{"cmd", "server"}},
	{dir: "store/pebblestore", onlyFrom: []string{"cmd", "server", ".", "internal/crash"}},
	{dir: "store/memstore"},
	{dir: "store/storetest", testsOnly: true},
	{dir: "store"},
	{dir: "engine"},
	{dir: "task", alone: true},
	{dir: "event", alone: true},
	{dir: "internal/load", alone: true},
	{dir: "internal/tidy", alone: true},
}

// A layer is one package of the table and who may import it, besides those above it.
type layer struct {
	dir       string
	alone     bool     // imports nothing of ours
	testsOnly bool     // imported by test files of every layer, and by examples, and by nothing else
	testsToo  bool     // imported by external test packages of the layers below as well
	apart     string   // packages of one group never import each other …
	carrierOf []string // … except that these may import this one
	onlyFrom  []string // imported from these directories and below them, and from nowhere else
}

// outside says where a library of others may be imported, so that users' programs do not carry what only the
// binary or the tests need. Test files may import all of them.
var outside = []outsider{
	{prefix: "github.com/spf13/cobra", dirs: []string{"cmd"}, why: "the command line belongs to the binary"},
	{prefix: "go.opentelemetry.io/otel/sdk", dirs: []string{"cmd"}, why: "packages use the tracing API; the SDK is the binary's choice"},
	{prefix: "go.opentelemetry.io/otel/exporters", dirs: []string{"cmd"}, why: "packages use the tracing API; the SDK is the binary's choice"},
	{prefix: "github.com/cockroachdb/pebble", dirs: []string{"store/pebblestore"}, why: "nothing else knows what the embedded store is made of"},
	{prefix: "go.uber.org/goleak", dirs: []string{"spatetest"}, why: "it is for tests"},
	{prefix: "github.com/rogpeppe/go-internal", why: "it is for tests"},
	{prefix: "unsafe", dirs: []string{"engine", "store/pebblestore", "event", "bus", "protocol/resp", "internal/load"}, why: "only what a profile showed to matter uses it"},
	{prefix: "testing", dirs: []string{"spatetest", "store/storetest"}, why: "it is for tests"},
}

// An outsider is a library, by prefix of its path, and the directories whose packages may import it.
type outsider struct {
	prefix string
	dirs   []string
	why    string
}

// The sizes. Test files may be longer than others because a table of cases is read by the row, not from top to bottom.
const (
	maxFuncLines     = 70
	maxFileLines     = 500
	maxTestFileLines = 700
	minDocWords      = 40 // fewer cannot say what is promised about order, blocking and ownership
)

// An allowance is an exception to one rule: how many places of a file, and why. Fewer than count is a finding too.
type allowance struct {
	count int
	why   string
}

// A tables is all that the rules are told.
type tables struct {
	layers   []layer
	outside  []outsider
	docs     map[string]string    // package directory: why it needs no contract
	goes     map[string]allowance // file: `go` statements, and who waits for those goroutines
	sleeps   map[string]allowance // file: time.Sleep in tests
	skips    map[string]allowance // file: skipped tests
	globals  map[string]string    // file and name: why this package-level variable may change
	noLeak   map[string]string    // package directory: why its tests do not check for leaked goroutines
	required []string             // files that the repository must have
}

// ours is the state of this repository.
var ours = tables{
	layers:  layers,
	outside: outside,
	docs:    map[string]string{},
	goes: map[string]allowance{
		"bus/durable.go":                {1, "the delivery of stored events: Bus.Wait waits for it"},
		"engine/loop_linux.go":          {1, "the workers of an event loop: its `running` group waits for them when the engine ends"},
		"internal/mqttclient/client.go": {1, "the goroutine that reads: Client.Close waits for it"},
		"task/task.go":                  {1, "every task: its scope waits for it"},
	},
	sleeps: map[string]allowance{
		"auth/password_test.go":          {1, "a slow hash under the fake clock: it is a method, called from synctest.Test only"},
		"device/kit_test.go":             {1, "pauses under the fake clock: a method, called from synctest.Test and CrashEverywhere only"},
		"protocol/mqtt/presence_test.go": {1, "a disk that takes its time, in the store of the test; nothing waits for it to be over"},
	},
	skips:   map[string]allowance{},
	globals: map[string]string{},
	noLeak:  map[string]string{},
	required: []string{
		"LICENSE", "README.md", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md",
		"Makefile", ".golangci.yml", ".ci/run", "go.mod",
	},
}
