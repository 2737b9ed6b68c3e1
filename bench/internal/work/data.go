package work

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"
)

// Subject is one of the subjects, with the separator of the peer between its
// levels.
func (f *Flags) Subject(i int, separator string) string {
	return strings.Join([]string{"sensors", fmt.Sprintf("hall%d", i%f.Keys), "temperature"}, separator)
}

// Data is the data of one event. Half of it is text, so that it compresses
// about as well as what people send.
func (f *Flags) Data() []byte {
	data := make([]byte, f.Size)
	for i := 0; i+8 <= len(data); i += 8 {
		binary.LittleEndian.PutUint64(data[i:], rand.Uint64())
	}
	n := len(data) / 4
	hex.Encode(data[:2*n], data[2*n:3*n])
	return data
}

// A Reading is the value of a typed topic; in JSON it has about 128 bytes.
type Reading struct {
	Number int     `json:"number"`
	Sensor string  `json:"sensor"`
	Value  float64 `json:"value"`
	Unit   string  `json:"unit"`
	Note   string  `json:"note"`
}

// NewReading returns the value of an event.
func (f *Flags) NewReading(i int) Reading {
	return Reading{
		Number: i, Sensor: fmt.Sprintf("hall%d", i%f.Keys), Value: float64(i%1000) / 8, Unit: "celsius",
		Note: "a sentence about what was seen, so long that it is 128",
	}
}
