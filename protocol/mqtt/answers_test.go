package mqtt

import (
	"bytes"
	"context"
	"testing"
	"testing/synctest"

	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/protocol/mqtt/packet"
)

// paper is a carrier that notes what is sent.
type paper struct {
	carrier
	ctx  context.Context
	sent []byte
}

func (p *paper) Context() context.Context { return p.ctx }

func (p *paper) Closing() bool { return p.ctx.Err() != nil }

func (p *paper) Push(b []byte, _ engine.Overflow) error {
	p.sent = append(p.sent, b...)
	return nil
}

func (p *paper) WriteThrough(b []byte) (int, error) { return len(b), p.Push(b, engine.Disconnect) }

// While a commit takes its time, a client cannot have any number of answers wait behind it: it is not read, until the commit is done or the connection ends.
func TestAnswersAreBounded(t *testing.T) {
	const packets = 3 * maxAnswers
	one := packet.AppendAck(nil, packet.V5, packet.Pubrel, 9, packet.Success, nil)
	for name, size := range map[string]int{"packet by packet": 1, "some at a time": 1000, "all at once": packets} {
		for ending, ends := range map[string]bool{"stored": false, "closed": true} {
			t.Run(name+", "+ending, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					ctx, end := context.WithCancel(t.Context())
					defer end()
					b := &Broker{batch: publishBatch}
					b.turns.New = newTurn
					to := &paper{ctx: ctx}
					c := &conn{broker: b, version: packet.V5, carrier: to, session: b.newSession("c")}
					commit := c.queue([]answer{{kind: packet.Puback, id: 1}})
					over := make(chan error)
					go func() {
						over <- c.flood(bytes.Repeat(one, packets), size*len(one))
					}()
					synctest.Wait()
					if held := c.acks.held.Load(); held < maxAnswers || held >= maxAnswers+publishBatch+int32(min(size, publishBatch)) {
						t.Errorf("%d answers wait, of %d there may be", held, maxAnswers)
					}
					select {
					case <-over:
						t.Fatal("the client is read on")
					default:
					}
					if ends {
						end()
						<-over
						return
					}
					c.acks.settle(commit, packet.AppendAck(nil, packet.V5, packet.Puback, 1, packet.Success, nil), to)
					if err := <-over; err != nil {
						t.Fatal(err)
					}
					want := append(packet.AppendAck(nil, packet.V5, packet.Puback, 1, packet.Success, nil),
						bytes.Repeat(packet.AppendAck(nil, packet.V5, packet.Pubcomp, 9, packet.PacketIdentifierNotFound, nil), packets)...)
					if !bytes.Equal(to.sent, want) {
						t.Errorf("%d bytes were sent, not the %d that are wanted", len(to.sent), len(want))
					}
				})
			})
		}
	}
}

// flood has a client send so much at a time.
func (c *conn) flood(all []byte, size int) error {
	for len(all) > 0 && !c.carrier.Closing() {
		n := min(size, len(all))
		if _, err := c.serve(all[:n]); err != nil {
			return err
		}
		all = all[n:]
	}
	return nil
}
