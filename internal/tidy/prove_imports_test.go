package tidy

var importProofs = []proof{
	{"imports-point-down", "down", map[string]string{
		"bus/b.go":        imports("bus", module+"/auth", module+"/event"),
		"server/s.go":     imports("server", module, module+"/protocol/resp"),
		"cmd/spate/m.go":  imports("main", module+"/server"),
		"bus/b_test.go":   imports("bus_test", module+"/bus", module+"/spatetest"),
		"examples/x/x.go": imports("main", module, module+"/bus", module+"/spatetest"),
	}, ours, nil},
	{"imports-point-down", "up", one("engine/e.go", imports("engine", module+"/bus")), ours,
		[]string{"engine/e.go:2: engine must not import bus: imports point down"}},
	{"imports-point-down", "up to the root", one("bus/b.go", imports("bus", module)), ours,
		[]string{"bus must not import .: imports point down"}},
	{"imports-point-down", "up in a test", one("engine/e_test.go", imports("engine_test", module+"/bus")), ours,
		[]string{"engine must not import bus"}},
	{"imports-point-down", "echo in an external test", one("engine/e_test.go", imports("engine_test", module+"/protocol/echo")), ours, nil},
	{"imports-point-down", "echo in an internal test", one("engine/e_test.go", imports("engine", module+"/protocol/echo")), ours,
		[]string{"engine must not import protocol/echo"}},
	{"imports-point-down", "protocol to protocol", one("protocol/echo/e.go", imports("echo", module+"/protocol/resp")), ours,
		[]string{"a protocol never imports another except its carrier"}},
	{"imports-point-down", "carrier", one("protocol/mqtt/m.go", imports("mqtt", module+"/protocol/websocket")), ours, nil},
	{"imports-point-down", "not its carrier", one("protocol/resp/m.go", imports("resp", module+"/protocol/websocket")), ours,
		[]string{"a protocol never imports another except its carrier"}},
	{"imports-point-down", "server", one("examples/x/x.go", imports("main", module+"/server")), ours,
		[]string{"examples/x must not import server: only cmd may"}},
	{"imports-point-down", "alone", map[string]string{
		"task/t.go":  imports("task", module+"/event"),
		"event/e.go": imports("event", module+"/internal/load"),
	}, ours, []string{"event imports nothing of ours", "task imports nothing of ours"}},
	{"imports-point-down", "kit outside of tests", one("bus/b.go", imports("bus", module+"/spatetest")), ours,
		[]string{"bus must not import spatetest: it is for tests"}},
	{"imports-point-down", "unknown", one("misc/m.go", "package misc\n"), ours,
		[]string{"misc/m.go:1: package misc is not in the table of layers"}},

	{"outsiders-stay-out", "where they belong", map[string]string{
		"cmd/spate/m.go":   imports("main", "github.com/spf13/cobra", "go.opentelemetry.io/otel/sdk/trace"),
		"bus/b.go":         imports("bus", "go.opentelemetry.io/otel/trace"),
		"bus/b_test.go":    imports("bus", "testing", "go.uber.org/goleak", "go.opentelemetry.io/otel/sdk/trace"),
		"spatetest/kit.go": imports("spatetest", "testing"),
	}, ours, nil},
	{"outsiders-stay-out", "where they do not", map[string]string{
		"bus/b.go":    imports("bus", "testing/synctest"),
		"server/s.go": imports("server", "github.com/spf13/cobra"),
		"auth/a.go":   imports("auth", "unsafe"),
	}, ours, []string{
		"auth must not import unsafe",
		"bus/b.go:2: bus must not import testing/synctest: it is for tests. Import it in a test file, or in spatetest or store/storetest",
		"server must not import github.com/spf13/cobra",
	}},

	{"no-dot-imports", "named", one("a/a.go", imports("a", "fmt")), tables{}, nil},
	{"no-dot-imports", "dot", one("a/a_test.go", "package a\n\nimport . \"fmt\"\n"), tables{}, []string{"a/a_test.go:3: dot import of fmt"}},
}
