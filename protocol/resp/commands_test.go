package resp_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/protocol/resp"
)

// command declares a request type of the test's own.
func command(name string, arity int, run func(ctx context.Context, r *resp.Request) error) resp.Command {
	return resp.Command{Name: name, Arity: arity, Run: run}
}

func TestUserCommands(t *testing.T) {
	commands := []resp.Command{
		command("GREET", 2, func(_ context.Context, r *resp.Request) error {
			r.Simple("Hello, " + r.Text(1))
			return nil
		}),
		command("Sum", -2, func(_ context.Context, r *resp.Request) error {
			sum := int64(0)
			for i := 1; i < r.Len(); i++ {
				n, err := r.Int(i)
				if err != nil {
					return err
				}
				sum += n
			}
			r.Integer(sum)
			return nil
		}),
		command("HALF", 2, func(_ context.Context, r *resp.Request) error {
			f, err := r.Float(1)
			r.Double(f / 2)
			return err
		}),
		command("NOTHING", 1, func(context.Context, *resp.Request) error { return nil }),
		command("FAIL", 1, func(context.Context, *resp.Request) error { return errors.New("the disk\r\nis full") }),
		command("CODE", 1, func(context.Context, *resp.Request) error {
			return fmt.Errorf("wrapped: %w", resp.Error("NOTFOUND no such device"))
		}),
		command("HALFWAY", 1, func(_ context.Context, r *resp.Request) error {
			r.Array(2)
			r.Integer(1)
			return errors.New("gave up")
		}),
		command("SHORT", 1, func(_ context.Context, r *resp.Request) error {
			r.Array(2)
			r.Integer(1)
			return nil
		}),
		command("TWICE", 1, func(_ context.Context, r *resp.Request) error {
			r.OK()
			r.OK()
			return nil
		}),
		command("ALL", 1, func(_ context.Context, r *resp.Request) error {
			r.Array(9)
			r.Null()
			r.Bool(true)
			r.Bool(false)
			r.Double(1.5)
			r.Plain("text")
			r.Map(1)
			r.BulkString("k")
			r.Bulk([]byte("v"))
			r.Set(1)
			r.Integer(1)
			r.Array(0)
			r.OK()
			return nil
		}),
		command("WHO", 1, func(_ context.Context, r *resp.Request) error {
			r.Simple(fmt.Sprint(r.Name(), " ", r.Identity(), " ", r.RESP3(), " ", r.Conn().ID() > 0, " ", string(r.Arg(0))))
			return nil
		}),
	}
	s := serve(t, "", resp.Options{Commands: commands}, engine.Limits{})
	c := s.dial()
	for _, tc := range []struct{ ask, want string }{
		{"greet world", "+Hello, world\r\n"},
		{"GREET", "-ERR wrong number of arguments for 'greet' command\r\n"},
		{"sum 1 2 -4", ":-1\r\n"},
		{"SUM 1 x", "-ERR value is not an integer or out of range\r\n"},
		{"HALF 3", "$3\r\n1.5\r\n"},
		{"HALF nan", "-ERR value is not a valid float\r\n"},
		{"NOTHING", "+OK\r\n"},
		{"FAIL", "-ERR the disk  is full\r\n"},
		{"CODE", "-NOTFOUND no such device\r\n"},
		{"HALFWAY", "-ERR gave up\r\n"},
		{"SHORT", "-ERR internal error: the reply of 'short' has the wrong number of elements\r\n"},
		{"TWICE", "-ERR internal error: the reply of 'twice' has the wrong number of elements\r\n"},
		{"ALL", "*9\r\n$-1\r\n:1\r\n:0\r\n$3\r\n1.5\r\n$4\r\ntext\r\n*2\r\n$1\r\nk\r\n$1\r\nv\r\n*1\r\n:1\r\n*0\r\n+OK\r\n"},
		{"WHO", "+who nobody false true WHO\r\n"},
	} {
		c.want(tc.ask, tc.want)
	}
	c.ask("HELLO 3")
	c.want("ALL", "*9\r\n_\r\n#t\r\n#f\r\n,1.5\r\n=8\r\ntxt:text\r\n%1\r\n$1\r\nk\r\n$1\r\nv\r\n~1\r\n:1\r\n*0\r\n+OK\r\n")
	c.want("HALF 3", ",1.5\r\n")
	if !strings.Contains(s.log.String(), "command=short") {
		t.Error("a broken reply was not logged")
	}
}

func TestNewRefuses(t *testing.T) {
	run := func(context.Context, *resp.Request) error { return nil }
	for _, tc := range []struct {
		name string
		c    resp.Command
		want string
	}{
		{"no name", resp.Command{Arity: 1, Run: run}, `a command cannot be called ""`},
		{"two words", resp.Command{Name: "A B", Arity: 1, Run: run}, "a name is one word"},
		{"no arity", resp.Command{Name: "A", Run: run}, "command A has no Arity"},
		{"no run", resp.Command{Name: "A", Arity: 1}, "command A has no Run"},
		{"taken", resp.Command{Name: "Ping", Arity: 1, Run: run}, "two commands are called PING"},
		{"subcommand twice", resp.Command{Name: "A", Arity: -2, Subcommands: []resp.Command{
			{Name: "X", Arity: 2, Run: run}, {Name: "x", Arity: 2, Run: run},
		}}, "two commands are called A|X"},
	} {
		if _, err := resp.New(resp.Options{Commands: []resp.Command{tc.c}}); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.want)
		}
	}
}

// TestBlockingCommand waits in one connection while another is served, and ends when its own connection does.
func TestBlockingCommand(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver string) {
		entered, left := make(chan struct{}), make(chan error, 1)
		s := serve(t, driver, resp.Options{Commands: []resp.Command{
			{Name: "WAIT", Arity: 1, Flags: resp.Blocking, Run: func(ctx context.Context, _ *resp.Request) error {
				close(entered)
				<-ctx.Done()
				left <- context.Cause(ctx)
				return ctx.Err()
			}},
		}}, engine.Limits{})
		c := s.dial()
		c.send(request("PING") + request("WAIT") + request("PING"))
		<-entered
		c.wantReply("+PONG\r\n") // although the rest of the pipeline waits
		s.alive()
		killer := s.dial()
		list := killer.ask("CLIENT LIST")
		if !strings.Contains(list, "cmd=wait") {
			t.Errorf("the list does not show what runs: %s", list)
		}
		killer.want("CLIENT KILL "+c.LocalAddr().String(), "+OK\r\n")
		select {
		case err := <-left:
			if engine.ReasonOf(err, engine.ReasonNone) != engine.ReasonKilled {
				t.Errorf("the context ended for %v", err)
			}
		case <-time.After(patience):
			t.Fatal("the command goes on")
		}
		c.rest()
		s.closedFor(engine.ReasonKilled)
	})
}

// TestPromiseIsolation: a panic ends one connection, after the replies to the requests before it. So does a runtime.Goexit.
func TestPromiseIsolation(t *testing.T) {
	for _, boom := range []func(){func() { panic("boom") }, runtime.Goexit} {
		eachDriver(t, func(t *testing.T, driver string) {
			s := serve(t, driver, resp.Options{Commands: []resp.Command{
				command("BOOM", 1, func(_ context.Context, r *resp.Request) error {
					r.Array(3)
					boom()
					return nil
				}),
			}}, engine.Limits{})
			c := s.dial()
			c.send(request("PING", "a") + request("BOOM") + request("PING", "b"))
			if got := c.rest(); got != "$1\r\na\r\n" {
				t.Errorf("%q before the end", got)
			}
			s.closedFor(engine.ReasonPanic)
			s.alive()
		})
	}
}

func TestPipelineIsOneWrite(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver string) {
		s := serve(t, driver, resp.Options{}, engine.Limits{})
		c := s.dial()
		const n = 20_000 // of which the replies pass the size at which they are sent early
		go c.send(strings.Repeat(request("ECHO", "0123456789"), n))
		for range n {
			c.wantReply("$10\r\n0123456789\r\n")
		}
		eventually(t, "the count", func() bool { return s.proto.Stats().Commands == n })
	})
}

func TestClientListAndKillByAddress(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver string) {
		s := serve(t, driver, resp.Options{}, engine.Limits{})
		a, b := s.dial(), s.dial()
		a.want("CLIENT SETINFO LIB-NAME lib", "+OK\r\n")
		a.want("CLIENT SETINFO lib-ver 1.2", "+OK\r\n")
		a.want("CLIENT SETINFO lib-ver 1\x01", "-ERR lib-ver cannot contain spaces, newlines or special characters.\r\n")
		a.want("CLIENT SETINFO lib-color red", "-ERR Unrecognized option 'lib-color'\r\n")
		a.want("CLIENT SETNAME "+strings.Repeat("n", 257), "-ERR Client names cannot be longer than 256 bytes.\r\n")
		b.want("CLIENT SETNAME bob", "+OK\r\n")
		list := a.ask("CLIENT LIST")
		for _, want := range []string{
			"addr=" + a.LocalAddr().String() + " laddr=" + a.RemoteAddr().String(), "cmd=client|list", "lib-name=lib lib-ver=1.2",
			"addr=" + b.LocalAddr().String(), "name=bob", "cmd=client|setname",
		} {
			if !strings.Contains(list, want) {
				t.Errorf("no %q in %s", want, list)
			}
		}
		id := strings.TrimSpace(b.ask("CLIENT ID")[1:])
		if got := a.ask("CLIENT LIST ID " + id + " 999"); strings.Count(got, "\n") != 3 || !strings.Contains(got, "id="+id+" ") {
			t.Errorf("list of %s: %q", id, got)
		}
		c, d, e := s.dial(), s.dial(), s.dial()
		for _, other := range []*client{c, d, e} {
			other.want("PING", "+PONG\r\n")
		}
		a.want("CLIENT KILL "+b.LocalAddr().String(), "+OK\r\n")
		a.want("CLIENT KILL ADDR "+c.LocalAddr().String(), ":1\r\n")
		a.want("CLIENT KILL MAXAGE 1000", ":0\r\n")
		a.want("CLIENT KILL MAXAGE x", "-ERR maxage is not an integer or out of range\r\n")
		a.want("CLIENT KILL ID "+strings.TrimSpace(d.ask("CLIENT ID")[1:])+" TYPE normal LADDR "+a.RemoteAddr().String(), ":1\r\n")
		a.want("CLIENT KILL MAXAGE 0", ":1\r\n")
		for _, dead := range []*client{b, c, d, e} {
			dead.rest()
		}
		a.want("CLIENT KILL "+a.LocalAddr().String(), "+OK\r\n")
		if got := a.rest(); got != "" {
			t.Errorf("%q after its own end", got)
		}
		s.closedFor(engine.ReasonKilled)
	})
}

// TestInfo parses the reply as monitoring tools do.
func TestInfo(t *testing.T) {
	s := serve(t, "", resp.Options{Version: "1.2.3"}, engine.Limits{Connections: 77})
	c := s.dial()
	sub := s.dial()
	sub.ask("SUBSCRIBE a")
	values := map[string]string{}
	text := c.ask("INFO")
	for line := range strings.SplitSeq(text, "\r\n") {
		if name, value, ok := strings.Cut(line, ":"); ok {
			values[name] = value
		}
	}
	for name, want := range map[string]string{
		"redis_version": "7.0.15", "spate_version": "1.2.3", "connected_clients": "2", "maxclients": "77", "pubsub_clients": "1",
		"pubsub_channels": "1", "role": "master", "loading": "0", "cluster_enabled": "0",
	} {
		if values[name] != want {
			t.Errorf("%s is %q, want %q", name, values[name], want)
		}
	}
	for _, name := range []string{"used_memory", "used_memory_rss", "total_commands_processed", "uptime_in_seconds", "tcp_port", "process_id"} {
		if n, err := strconv.ParseInt(values[name], 10, 64); err != nil || n < 0 {
			t.Errorf("%s is %q", name, values[name])
		}
	}
	if got := c.ask("INFO clients stats"); !strings.Contains(got, "# Clients\r\n") || !strings.Contains(got, "\r\n\r\n# Stats\r\n") || strings.Contains(got, "# Server") {
		t.Errorf("two sections: %q", got)
	}
	if got := c.ask("INFO everything"); !strings.Contains(got, "# Keyspace\r\n") {
		t.Errorf("everything: %q", got)
	}
	if got := c.ask("CONFIG GET port maxclients"); got != fmt.Sprintf("*4\r\n$10\r\nmaxclients\r\n$2\r\n77\r\n$4\r\nport\r\n$5\r\n%s\r\n", values["tcp_port"]) {
		t.Errorf("configuration: %q", got)
	}
}

// TestCommandDocs checks that every command of the table is described, as redis-cli asks for it.
func TestCommandDocs(t *testing.T) {
	s := serve(t, "", resp.Options{Commands: []resp.Command{
		{Name: "GREET", Arity: 2, Summary: "Greets", Run: func(context.Context, *resp.Request) error { return nil }},
	}}, engine.Limits{})
	c := s.dial()
	count := strings.TrimSpace(c.ask("COMMAND COUNT")[1:])
	for _, ask := range []string{"COMMAND", "COMMAND INFO", "COMMAND LIST"} {
		if got := c.ask(ask); !strings.HasPrefix(got, "*"+count+"\r\n") || !strings.Contains(got, "greet") {
			t.Errorf("%s of %s commands: %.100q", ask, count, got)
		}
	}
	docs := c.ask("COMMAND DOCS")
	names := c.ask("COMMAND LIST FILTERBY PATTERN *")
	for _, list := range []string{docs, names, c.ask("COMMAND"), c.ask("COMMAND LIST")} {
		if strings.Contains(list, "\r\npost\r\n") || strings.Contains(list, "\r\nhost:\r\n") { // redis-server lists neither
			t.Errorf("what traps web pages is shown as a command: %.100q", list)
		}
	}
	for name := range strings.SplitSeq(names, "\r\n") {
		if name != "" && name[0] != '*' && name[0] != '$' && !strings.Contains(docs, "\r\n"+name+"\r\n") {
			t.Errorf("%s has no documentation", name)
		}
	}
	if got := c.ask("COMMAND DOCS greet client|id"); got != "*4\r\n$5\r\ngreet\r\n*6\r\n$7\r\nsummary\r\n$6\r\nGreets\r\n$5\r\nsince\r\n$5\r\n1.0.0\r\n$5\r\ngroup\r\n$6\r\nmodule\r\n"+
		"$9\r\nclient|id\r\n*8\r\n$7\r\nsummary\r\n$39\r\nReturn the ID of the current connection\r\n$5\r\nsince\r\n$5\r\n5.0.0\r\n$5\r\ngroup\r\n$10\r\nconnection\r\n$10\r\ncomplexity\r\n$4\r\nO(1)\r\n" {
		t.Errorf("%q", got)
	}
	for usage, want := range map[string]string{
		"config|get":  "*1\r\n*6\r\n$4\r\nname\r\n$9\r\nparameter\r\n$4\r\ntype\r\n$6\r\nstring\r\n$5\r\nflags\r\n*1\r\n+multiple\r\n",
		"unsubscribe": "*1\r\n*6\r\n$4\r\nname\r\n$7\r\nchannel\r\n$4\r\ntype\r\n$6\r\nstring\r\n$5\r\nflags\r\n*2\r\n+optional\r\n+multiple\r\n",
		"hello":       "*1\r\n*6\r\n$4\r\nname\r\n$54\r\nprotover [AUTH username password] [SETNAME clientname]\r\n$4\r\ntype\r\n$6\r\nstring\r\n$5\r\nflags\r\n*1\r\n+optional\r\n",
	} {
		if got := c.ask("COMMAND DOCS " + usage); !strings.Contains(got, "$9\r\narguments\r\n"+want) {
			t.Errorf("%s: %q", usage, got)
		}
	}
	for _, parent := range []string{"CLIENT", "COMMAND", "CONFIG", "PUBSUB", "ACL"} {
		if got := c.ask(parent + " HELP"); !strings.Contains(got, "+"+parent+" <subcommand>") {
			t.Errorf("help of %s: %q", parent, got)
		}
	}
	c.want("COMMAND LIST FILTERBY ACLCAT nosuch", "*0\r\n")
	c.ask("HELLO 3")
	if got := c.ask("COMMAND DOCS"); !strings.HasPrefix(got, "%"+count+"\r\n") {
		t.Errorf("%.60q", got)
	}
}

// TestWeb closes connections of web pages, so that the body of a POST is never run.
func TestWeb(t *testing.T) {
	s := serve(t, "", resp.Options{}, engine.Limits{})
	for _, raw := range []string{"POST / HTTP/1.1\r\nHost: x\r\n\r\nPUBLISH a b\r\n", "GET / HTTP/1.1\r\nhost: x\r\n\r\nPUBLISH a b\r\n"} {
		c := s.dial()
		c.send(raw)
		if got := c.rest(); strings.Contains(got, ":0") {
			t.Errorf("%q was run: %q", raw, got)
		}
	}
	s.closedFor(engine.ReasonProtocol)
}

// TestQuitIsNotAnError is about the reason that is counted.
func TestQuitIsNotAnError(t *testing.T) {
	s := serve(t, "", resp.Options{}, engine.Limits{})
	c := s.dial()
	c.want("QUIT", "+OK\r\n")
	c.rest()
	s.closedFor(engine.ReasonQuit)
}

// TestPromiseShutdown: what runs is finished and answered, what waits to be sent is delivered, then connections end.
func TestPromiseShutdown(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver string) {
		entered, leave := make(chan struct{}), make(chan struct{})
		s := serve(t, driver, resp.Options{Commands: []resp.Command{
			command("SLOW", 1, func(_ context.Context, r *resp.Request) error {
				close(entered)
				<-leave
				r.Simple("done")
				return nil
			}),
		}}, engine.Limits{})
		c, sub := s.dial(), s.dial()
		sub.ask("SUBSCRIBE a")
		c.send(request("PUBLISH", "a", "last") + request("SLOW") + request("PING"))
		<-entered
		down := make(chan error, 1)
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			down <- s.Shutdown(ctx)
		}()
		if got, want := sub.rest(), message('*', "a", "last"); got != want {
			t.Errorf("the subscriber got %q", got)
		}
		close(leave)
		if got := c.rest(); got != ":1\r\n+done\r\n+PONG\r\n" {
			t.Errorf("the client got %q", got)
		}
		if err := <-down; err != nil {
			t.Error(err)
		}
		if n := s.Stats().Closed[engine.ReasonShutdown]; n != 2 {
			t.Errorf("%d connections ended for it", n)
		}
	})
}
