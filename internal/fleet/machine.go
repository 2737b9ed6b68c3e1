package fleet

import (
	"math"
	"math/rand/v2"
)

// Broken is what a thermometer says that is broken, in degrees Celsius: it is what a common one (DS18B20) gives as -127 when it is cut off.
const Broken = -127

// The seconds between two troubles of a device, on average, and how long they last.
const (
	heaterEvery, heaterShort, heaterLong = 600, 30, 90
	sensorEvery, sensorShort, sensorLong = 1800, 5, 15
	cutEvery, cutShort, cutLong          = 300, 3, 12
	firstFault                           = 2 // of the device that overheats soon
)

// The physics: how far above its surroundings a device comes to rest, in degrees, and in how many seconds it goes two thirds of the way.
const (
	normalRise, fanRise   = 8.0, 4.0
	stuckRise, stuckRange = 60.0, 20.0
	slow, fast            = 12.0, 6.0
	noise                 = 0.3
)

// Troubles of a device.
const (
	fine   = ""
	heater = "heater" // it does not turn off
	sensor = "sensor" // it is cut off
)

// A machine is the physical side of a device. Its steps are seconds.
type machine struct {
	chance  *rand.Rand
	outside float64 // degrees
	celsius float64
	stuck   float64 // how far it rises when the heater does not turn off
	fan     bool
	fault   string
	ends    int // steps until the fault ends
	heats   int // steps until the heater fails
	breaks  int // steps until the thermometer fails
	cuts    int // steps until the network is cut
}

// newMachine makes that of one device. With soon it overheats soon.
func newMachine(seed, number uint64, soon bool) *machine {
	m := &machine{chance: rand.New(rand.NewPCG(seed, number))} //nolint:gosec // the same seed has to give the same fleet
	m.outside = m.between(18, 25)
	m.celsius = m.outside + normalRise
	m.heats, m.breaks, m.cuts = m.until(heaterEvery), m.until(sensorEvery), m.until(cutEvery)
	if soon {
		m.heats = firstFault
	}
	return m
}

// step lets a second pass, and returns what the thermometer says.
func (m *machine) step() float64 {
	m.outside += 0.02 * m.chance.NormFloat64()
	m.troubles()
	rise, pace := normalRise, slow
	if m.fault == heater {
		rise = m.stuck
	}
	if m.fan {
		rise, pace = fanRise+rise/10, fast
	}
	m.celsius += (m.outside + rise - m.celsius) / pace
	said := m.celsius + noise*m.chance.NormFloat64()
	if m.fault == sensor {
		return Broken
	}
	return math.Round(said*10) / 10
}

// troubles begin and end.
func (m *machine) troubles() {
	m.heats--
	m.breaks--
	m.cuts--
	switch {
	case m.fault != fine:
		if m.ends--; m.ends <= 0 {
			m.fault = fine
		}
	case m.heats <= 0:
		m.fault, m.ends, m.heats = heater, int(m.between(heaterShort, heaterLong)), m.until(heaterEvery)
		m.stuck = stuckRise + m.between(0, stuckRange)
	case m.breaks <= 0:
		m.fault, m.ends, m.breaks = sensor, int(m.between(sensorShort, sensorLong)), m.until(sensorEvery)
	}
}

// cut tells whether the network is cut now, and for how many seconds.
func (m *machine) cut() (seconds int, yes bool) {
	if m.cuts > 0 {
		return 0, false
	}
	m.cuts = m.until(cutEvery)
	return int(m.between(cutShort, cutLong)), true
}

// until draws how long it is to the next of things that happen once in so many steps.
func (m *machine) until(every float64) int { return 1 + int(every*m.chance.ExpFloat64()) }

func (m *machine) between(low, high float64) float64 { return low + (high-low)*m.chance.Float64() }
