package mqtt

import (
	"github.com/spate-io/spate/engine"
	"github.com/spate-io/spate/protocol/websocket"
)

// WebSocketPath is where clients expect MQTT over WebSockets.
const WebSocketPath = "/mqtt"

// WebSocket returns the broker as what is served on a path of WebSockets (§6).
func (b *Broker) WebSocket() websocket.Endpoint {
	return websocket.Endpoint{
		Name: "mqtt", Subprotocols: []string{"mqtt", "mqttv3.1"},
		Open: func(c *websocket.Conn, h *websocket.Handshake) (any, error) {
			p := protocol{b, ListenerOptions{Strict: h.Strict}}
			return &webbed{conn{broker: b, carrier: c, decoder: p.decoder()}}, nil
		},
	}
}

// webbed is a conn as a session of a WebSocket.
type webbed struct{ conn }

func (w *webbed) Serve(_ *websocket.Conn, in []byte) (int, error) { return w.serve(in) }
func (w *webbed) Close(_ *websocket.Conn, why error)              { w.closed(why) }

func (w *webbed) Farewell(_ *websocket.Conn, why *engine.CloseError) []byte { return w.farewell(why) }

var (
	_ carrier           = (*websocket.Conn)(nil)
	_ carrier           = wire{}
	_ websocket.Session = (*webbed)(nil)
	_ engine.Describer  = (*webbed)(nil)
)
