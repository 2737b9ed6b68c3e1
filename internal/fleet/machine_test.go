package fleet

import (
	"slices"
	"testing"
)

// A device whose heater is stuck overheats; with its fan on it cools below the point at which it began, and stays there.
func TestFanCools(t *testing.T) {
	for seed := range uint64(100) {
		m := newMachine(seed, 1, true)
		steps := 0
		for ; m.celsius < 60 && steps < 60; steps++ {
			m.step()
		}
		if m.fault != heater || steps >= 60 {
			t.Fatalf("seed %d: %.1f degrees after %d seconds, fault %q", seed, m.celsius, steps, m.fault)
		}
		m.fan = true
		for steps = 0; m.celsius > 40 && steps < 60; steps++ {
			m.step()
		}
		if steps >= 60 {
			t.Errorf("seed %d: still %.1f degrees after %d seconds with the fan on", seed, m.celsius, steps)
		}
	}
}

// Without a fault a device stays cool, and with one of its thermometer it says so.
func TestTroubles(t *testing.T) {
	m, broken, cuts, heated := newMachine(1, 1, false), 0, 0, 0
	for range 100_000 {
		said := m.step()
		if (said == Broken) != (m.fault == sensor) {
			t.Fatalf("it says %v with the fault %q", said, m.fault)
		}
		if m.fault == heater {
			heated++
			m.fan = m.celsius > 50
		}
		if said == Broken {
			broken++
		}
		if seconds, yes := m.cut(); yes {
			if cuts++; seconds < cutShort || seconds > cutLong {
				t.Fatalf("cut off for %d seconds", seconds)
			}
		}
		if m.fault == fine && m.celsius > 90 || m.celsius < 0 {
			t.Fatalf("%.1f degrees with the fault %q", m.celsius, m.fault)
		}
	}
	// In 100 000 seconds: about 330 cuts, 60 000/600 × 60 s of heating, 55 × 10 s of a broken thermometer.
	if cuts < 200 || cuts > 500 || heated < 5000 || heated > 15_000 || broken < 200 || broken > 1200 {
		t.Errorf("%d cuts, %d seconds of heating and %d with a broken thermometer", cuts, heated, broken)
	}
}

// The same seed gives the same readings, and another gives others.
func TestSeed(t *testing.T) {
	run := func(seed, number uint64) (said []float64) {
		m := newMachine(seed, number, false)
		for range 1000 {
			said = append(said, m.step())
		}
		return said
	}
	if !slices.Equal(run(1, 1), run(1, 1)) {
		t.Error("the same seed gives two courses")
	}
	if slices.Equal(run(1, 1), run(2, 1)) || slices.Equal(run(1, 1), run(1, 2)) {
		t.Error("two devices, or two seeds, have the same course")
	}
}

// What a device is told to do: the method fan, and nothing else; a command that comes again is answered, and changes nothing.
func TestDo(t *testing.T) {
	d := &device{machine: newMachine(1, 1, false)}
	for _, c := range []struct {
		command, method, payload, answer string
		refused, on                      bool
	}{
		{"1", "fan", `{"on":true}`, `{"fan":true}`, false, true},
		{"2", "fan", `{"on":false}`, `{"fan":false}`, false, false},
		{"1", "fan", `{"on":true}`, `{"fan":false}`, false, false},
		{"3", "fan", `{}`, `fan needs {"on":true} or {"on":false}`, true, false},
		{"4", "fan", `on`, `fan needs {"on":true} or {"on":false}`, true, false},
		{"5", "light", `{"on":true}`, `"light" is no method of this device; it has fan`, true, false},
	} {
		answer, refused := d.do(c.command, c.method, []byte(c.payload))
		if string(answer) != c.answer || refused != c.refused || d.machine.fan != c.on {
			t.Errorf("%s %s: %q, refused %t, fan %t", c.method, c.payload, answer, refused, d.machine.fan)
		}
	}
	for range 1000 {
		d.do(string(rune('a'+len(d.known))), "fan", []byte(`{"on":true}`))
	}
	if len(d.known) > keptCommands {
		t.Errorf("%d commands are remembered", len(d.known))
	}
}
