package e2e

import (
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// The versions of MQTT by the names that mosquitto's clients give them.
var mqttVersions = []string{"mqttv311", "mqttv5"}

// A follower is a program that goes on until it has what it wants, or is killed.
type follower struct {
	t    *testing.T
	cmd  *exec.Cmd
	out  output
	done chan struct{}
}

// follow starts a program and waits until it has printed a text.
func follow(t *testing.T, until, name string, args ...string) *follower {
	t.Helper()
	f := &follower{t: t, cmd: exec.Command(name, args...), done: make(chan struct{})}
	f.cmd.Stdout, f.cmd.Stderr = &f.out, &f.out
	if err := f.cmd.Start(); err != nil {
		t.Fatalf("%v: apt-get install mosquitto-clients", err)
	}
	go func() {
		_ = f.cmd.Wait() // the tests look at what it printed
		close(f.done)
	}()
	t.Cleanup(f.kill)
	f.wait(until)
	return f
}

func (f *follower) kill() {
	_ = f.cmd.Process.Kill()
	<-f.done
}

// wait waits until the output contains a text.
func (f *follower) wait(want string) {
	f.t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		text, more := f.out.look()
		if strings.Contains(text, want) {
			return
		}
		select {
		case <-more:
		case <-f.done:
			if text, _ := f.out.look(); !strings.Contains(text, want) {
				f.t.Fatalf("%s ended without %q:\n%s", f.cmd, want, text)
			}
		case <-timeout.C:
			f.t.Fatalf("%s has not printed %q, but\n%s", f.cmd, want, text)
		}
	}
}

// received are the messages that mosquitto_sub printed with the format "> …".
func (f *follower) received() []string {
	f.t.Helper()
	select {
	case <-f.done:
	case <-time.After(patience):
		text, _ := f.out.look()
		f.t.Fatalf("%s does not end; it printed\n%s", f.cmd, text)
	}
	text, _ := f.out.look()
	return messages(text)
}

var message = regexp.MustCompile(`(?m)^> (.*)$`)

func messages(text string) (found []string) {
	for _, m := range message.FindAllStringSubmatch(text, -1) {
		found = append(found, m[1])
	}
	return found
}

// A mosquitto is how its clients reach a node: address, version and whatever else every call of them needs.
type mosquitto []string

func mosquittoTo(n *node, version string) mosquitto {
	return mosquitto{"-h", "127.0.0.1", "-p", n.port("mqtt"), "-V", version}
}

func (m mosquitto) pub(t *testing.T, args ...string) {
	t.Helper()
	must(t, "mosquitto_pub", append(slices.Clone(m), args...)...)
}

// sub subscribes and goes on until it has count messages.
func (m mosquitto) sub(t *testing.T, count int, args ...string) *follower {
	t.Helper()
	args = append(slices.Clone(m), args...)
	if !slices.Contains(args, "-F") {
		args = append(args, "-F", "> %t %q %r %p")
	}
	until := "Subscribed"
	if slices.Contains(args, "-c") {
		until = "CONNACK" // what waited for the session can come, and be enough, before SUBACK
	}
	return follow(t, until, "stdbuf", append([]string{"-oL", "mosquitto_sub", "-d", "-C", fmt.Sprint(count)}, args...)...)
}

// got compares what was received, in order.
func got(t *testing.T, what string, received []string, want ...string) {
	t.Helper()
	if !slices.Equal(received, want) {
		t.Errorf("%s: received %q, want %q", what, received, want)
	}
}

func TestMosquittoQoS(t *testing.T) {
	n := mqttNode(t)
	for _, version := range mqttVersions {
		m := mosquittoTo(n, version)
		for publish := range 3 {
			for subscribe := range 3 {
				name := fmt.Sprintf("%s/published at %d/subscribed at %d", version, publish, subscribe)
				s := m.sub(t, 2, "-q", fmt.Sprint(subscribe), "-t", "hall/+/temperature")
				m.pub(t, "-q", fmt.Sprint(publish), "-t", "hall/1/temperature", "-m", "21.5")
				m.pub(t, "-q", fmt.Sprint(publish), "-t", "hall/1/humidity", "-m", "60")
				m.pub(t, "-q", fmt.Sprint(publish), "-t", "hall/2/temperature", "-m", "22")
				q := min(publish, subscribe)
				got(t, name, s.received(), fmt.Sprintf("hall/1/temperature %d 0 21.5", q), fmt.Sprintf("hall/2/temperature %d 0 22", q))
			}
		}
	}
}

func TestMosquittoManyInOrder(t *testing.T) {
	n := mqttNode(t)
	const count = 500
	var lines strings.Builder
	var want []string
	for i := range count {
		fmt.Fprintln(&lines, i)
		want = append(want, fmt.Sprint(i))
	}
	for _, version := range mqttVersions {
		for _, qos := range []string{"1", "2"} {
			m := mosquittoTo(n, version)
			s := m.sub(t, count, "-q", qos, "-t", "many", "-F", "> %p")
			cmd := exec.Command("mosquitto_pub", append(slices.Clone(m), "-q", qos, "-t", "many", "-l")...)
			cmd.Stdin = strings.NewReader(lines.String())
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			got(t, version+" at "+qos, s.received(), want...)
		}
	}
}

func TestMosquittoRetained(t *testing.T) {
	n := mqttNode(t)
	for i, version := range mqttVersions {
		m := mosquittoTo(n, version)
		topic := fmt.Sprintf("state/%d", i)
		m.pub(t, "-r", "-q", "1", "-t", topic+"/lamp", "-m", "off")
		m.pub(t, "-r", "-q", "1", "-t", topic+"/lamp", "-m", "on")
		m.pub(t, "-r", "-q", "1", "-t", topic+"/fan", "-m", "3")
		m.pub(t, "-q", "1", "-t", topic+"/lamp", "-m", "not retained")
		n = n.restart(t)
		m = mosquittoTo(n, version)
		retained := m.sub(t, 2, "-q", "1", "-t", topic+"/#").received()
		slices.Sort(retained)
		got(t, version, retained, topic+"/fan 1 1 3", topic+"/lamp 1 1 on")
		m.pub(t, "-r", "-q", "1", "-t", topic+"/lamp", "-n")
		got(t, version+" after one was removed", m.sub(t, 1, "-q", "1", "-t", topic+"/#").received(), topic+"/fan 1 1 3")
	}
}

func TestMosquittoWill(t *testing.T) {
	n := mqttNode(t)
	for _, version := range mqttVersions {
		m := mosquittoTo(n, version)
		want := []string{"gone/killed 1 0 bye", "gone/last 1 0 x"}
		if version == "mqttv5" { // when it is interrupted, it asks for its will
			want = slices.Insert(want, 0, "gone/leaves 1 0 bye")
		}
		watcher := m.sub(t, len(want), "-q", "2", "-t", "gone/#")
		will := func(id string) *follower {
			return m.sub(t, 99, "-i", id, "-t", "nothing/"+id, "--will-topic", "gone/"+id, "--will-payload", "bye", "--will-qos", "1", "--will-retain")
		}
		leaves := will("leaves")
		if err := leaves.cmd.Process.Signal(interrupt); err != nil { // it says DISCONNECT
			t.Fatal(err)
		}
		<-leaves.done
		will("killed").kill()
		watcher.wait("> gone/killed")
		m.pub(t, "-q", "1", "-t", "gone/last", "-m", "x")
		got(t, version, watcher.received(), want...)
		got(t, version+", retained", m.sub(t, 1, "-q", "1", "-t", "gone/killed").received(), "gone/killed 1 1 bye")
		m.pub(t, "-r", "-q", "1", "-t", "gone/killed", "-n")
	}
}

// What was acknowledged for a session whose client is away survives the loss of the server, in order and once.
func TestMosquittoSession(t *testing.T) {
	for _, version := range mqttVersions {
		n := mqttNode(t)
		m := mosquittoTo(n, version)
		session := []string{"-c", "-i", "device", "-q", "2", "-t", "command/#"}
		must(t, "mosquitto_sub", append(append(slices.Clone(m), session...), "-E")...)
		var want []string
		for i := range 6 {
			qos := fmt.Sprint(1 + i/3) // mosquitto_sub prints a message of QoS 2 when it is released, so it would be behind the next of QoS 1
			m.pub(t, "-q", qos, "-t", "command/a", "-m", fmt.Sprint(i))
			want = append(want, fmt.Sprintf("command/a %s 0 %d", qos, i))
			if i%2 == 0 {
				n = n.restart(t)
			}
		}
		got(t, version, m.sub(t, 6, session...).received(), want...)
		// Nothing is left of it, and without -c the session ends.
		m.pub(t, "-q", "1", "-t", "command/a", "-m", "four")
		got(t, version+", again", m.sub(t, 1, session...).received(), "command/a 1 0 four")
		must(t, "mosquitto_sub", append(slices.Clone(m), "-i", "device", "-t", "other", "-E")...)
		m.pub(t, "-q", "1", "-t", "command/a", "-m", "five")
		fresh := m.sub(t, 1, session...)
		fresh.wait("Subscribed")
		m.pub(t, "-q", "1", "-t", "command/a", "-m", "six")
		got(t, version+", after a clean start", fresh.received(), "command/a 1 0 six")
	}
}

// Properties of version 5 arrive as they were sent.
func TestMosquittoProperties(t *testing.T) {
	n := mqttNode(t)
	m := mosquittoTo(n, "mqttv5")
	s := m.sub(t, 1, "-q", "1", "-t", "p", "-D", "subscribe", "subscription-identifier", "7", "-F", "> %C|%D|%F|%R|%S|%P|%p")
	m.pub(t, "-q", "1", "-t", "p", "-m", "{}", "-D", "publish", "content-type", "application/json", "-D", "publish", "correlation-data", "c-1",
		"-D", "publish", "payload-format-indicator", "1", "-D", "publish", "response-topic", "answers/1",
		"-D", "publish", "user-property", "b", "2", "-D", "publish", "user-property", "a", "1")
	got(t, "properties", s.received(), "application/json|c-1|1|answers/1|7|b:2 a:1|{}")

	must(t, "mosquitto_sub", append(slices.Clone(m), "-c", "-i", "late", "-q", "1", "-t", "e", "-E")...)
	m.pub(t, "-q", "1", "-t", "e", "-m", "short", "-D", "publish", "message-expiry-interval", "1")
	m.pub(t, "-q", "1", "-t", "e", "-m", "long", "-D", "publish", "message-expiry-interval", "1000")
	<-time.After(1200 * time.Millisecond) // the first one expires
	received := m.sub(t, 1, "-c", "-i", "late", "-q", "1", "-t", "e", "-F", "> %E %p").received()
	if len(received) != 1 || !regexp.MustCompile(`^(99\d|1000) long$`).MatchString(received[0]) {
		t.Errorf("a message that expires: %q", received)
	}
}

// A request and its answer, with mosquitto_rr as the one who asks.
func TestMosquittoRequest(t *testing.T) {
	n := mqttNode(t)
	m := mosquittoTo(n, "mqttv5")
	device := m.sub(t, 1, "-q", "1", "-t", "ask", "-F", "> %R %D %p")
	asking := follow(t, "SUBACK", "stdbuf", append(append([]string{"-oL", "mosquitto_rr", "-d"}, m...), "-q", "1", "-t", "ask", "-e", "answer/here", "-m", "how much?", "-F", "> %p",
		"-D", "publish", "correlation-data", "nr7")...)
	got(t, "the request", device.received(), "answer/here nr7 how much?")
	m.pub(t, "-q", "1", "-t", "answer/here", "-m", "42", "-D", "publish", "correlation-data", "nr7")
	got(t, "the answer", asking.received(), "42")
}

// Members of a share divide the messages among them.
func TestMosquittoShare(t *testing.T) {
	n := mqttNode(t)
	m := mosquittoTo(n, "mqttv5")
	a := m.sub(t, 5, "-q", "1", "-t", "$share/workers/jobs/#", "-F", "> %p")
	b := m.sub(t, 5, "-q", "1", "-t", "$share/workers/jobs/#", "-F", "> %p")
	for i := range 10 {
		m.pub(t, "-q", "1", "-t", "jobs/x", "-m", fmt.Sprint(i))
	}
	all := append(a.received(), b.received()...)
	slices.Sort(all)
	got(t, "both", all, "0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
}

// Over TLS, with a user and a password, and with rights.
func TestMosquittoOverTLSWithAPassword(t *testing.T) {
	cert, key := certificate(t, t.TempDir())
	n := serve(t, "--config", write(t, "spate.yaml", guarded(t, "[mqtts://localhost:0]")+"tls: {cert: "+cert+", key: "+key+"}\n"))
	for _, version := range mqttVersions {
		m := mosquitto{"-h", "localhost", "-p", n.port("mqtts"), "--cafile", cert, "-V", version, "-q", "1"}
		if out, err := run(t, "mosquitto_pub", append(slices.Clone(m), "-t", "news/a", "-m", "x")...); err == nil || !strings.Contains(strings.ToLower(out), "not authori") {
			t.Errorf("%s: nobody: %v\n%s", version, err, out)
		}
		anna := append(slices.Clone(m), "-u", "anna", "-P", "secret")
		s := anna.sub(t, 1, "-t", "news/#", "-t", "other")
		anna.pub(t, "-t", "news/a", "-m", "x")
		got(t, version, s.received(), "news/a 1 0 x")
		if out, _ := run(t, "mosquitto_sub", append(slices.Clone(anna), "-t", "other", "-E")...); !strings.Contains(out, "denied") {
			t.Errorf("%s: a filter that anna may not read:\n%s", version, out)
		}
	}
}

func TestMosquittoOverUnix(t *testing.T) {
	socket := t.TempDir() + "/mqtt.sock"
	serve(t, "--listen", "mqtt+unix://"+socket)
	m := mosquitto{"--unix", socket, "-V", "mqttv5", "-q", "1"}
	s := m.sub(t, 1, "-t", "a")
	m.pub(t, "-t", "a", "-m", "x")
	got(t, "over a Unix socket", s.received(), "a 1 0 x")
}

// Topics are subjects: what a device publishes is captured by a stream, and read with redis-cli and curl; what they publish reaches the device.
func TestMosquittoAndTheOthers(t *testing.T) {
	n := serve(t, "--config", write(t, "spate.yaml", "listen: ['mqtt://127.0.0.1:0', 'resp://127.0.0.1:0', 'http://127.0.0.1:0']\nstreams: [{name: sensors, subjects: ['sensors/#']}]\n"))
	redis := func(args ...string) string {
		return must(t, "redis-cli", append([]string{"-p", n.port("resp")}, args...)...)
	}
	base := "http://" + n.urls["http"]
	for _, version := range mqttVersions {
		m, topic := mosquittoTo(n, version), "sensors/"+version
		m.pub(t, "-q", "1", "-t", topic, "-m", "21.5 from mosquitto")
		if read := redis("XREAD", "STREAMS", topic, "0"); !strings.Contains(read, "21.5 from mosquitto") {
			t.Errorf("%s: XREAD prints\n%s", version, read)
		}
		follow(t, "21.5 from mosquitto", "curl", "-sSN", base+"/v1/subscribe?stream=sensors&from=beginning&filter="+topic)

		s := m.sub(t, 3, "-q", "1", "-t", "sensors/+")
		redis("XADD", topic, "*", "data", "22 from XADD")
		redis("PUBLISH", topic, "23 from PUBLISH")
		must(t, "curl", "-sS", "--fail", "-d", "24 from curl", base+"/v1/publish/"+topic)
		got(t, version, s.received(), topic+" 1 0 22 from XADD", topic+" 1 0 23 from PUBLISH", topic+" 1 0 24 from curl")
	}
}
