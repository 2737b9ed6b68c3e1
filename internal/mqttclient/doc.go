// Package mqttclient is a small MQTT client for our own tests and tools: it does what it is told, also what a client should not do,
// and shows what the server sent. It speaks 3.1.1 and 5.0 with the codec of protocol/mqtt/packet.
//
// A [Conn] is a connection whose packets are sent and read one by one, as raw bytes if need be. Nothing is answered by itself.
//
// A [Client] is a client as users know it. [Dial] connects; [Client.Publish] and [Client.Subscribe] wait until the server has answered;
// [Client.Start] publishes without waiting, so that many messages are in flight, no more of them than the server's Receive Maximum;
// [Client.Receive] returns the next message. Its methods may be called from any goroutine and end with their context. A Client has one
// goroutine, which reads, and which [Client.Close], [Client.Kill] and [Client.Disconnect] wait for.
//
// # Delivery
//
// A message is acknowledged when Receive returns it, or, with Options.ManualAck, when [Client.Ack] is called. What a [Session] holds outlives its
// connections: the messages that were published and not acknowledged, which the next connection sends again, marked DUP, in
// their order, and the packet identifiers of the QoS 2 messages that were received, so that none is received twice. Messages
// that had arrived and were not received when a connection ended are not acknowledged, and so come again.
//
// # Order
//
// Messages are received in the order in which the server sent them, and publishes are sent in the order of the calls.
//
// # Blocking and limits
//
// Of messages that nobody receives, Options.Buffer wait here; then the client stops reading, acknowledgements of its own publishes
// and pings included, until there is room. Bytes that a caller hands in are not kept beyond the call, except a payload of QoS 1 and 2, which is kept
// until it is acknowledged; what is returned belongs to the caller.
//
// What is not promised: that misuse of the protocol is prevented, reconnecting, and speed.
package mqttclient
