package spate

import "strconv"

// mqtt counts what the MQTT broker does.
func (c *collector) mqtt(s sheet) {
	m := c.app.mqtt.Stats()
	s.gauge("mqtt_clients", "MQTT clients that are connected.", float64(m.Connected))
	s.gauge("mqtt_sessions", "Sessions now, also those whose clients are away.", float64(m.Sessions))
	s.gauge("mqtt_lasting_sessions", "Sessions now that outlive their connections.", float64(m.Lasting))
	s.gauge("mqtt_retained_messages", "Retained messages now.", float64(m.Retained))
	s.count("mqtt_connects_total", "Clients that were let in.", m.Connects)
	s.count("mqtt_takeovers_total", "Sessions that were taken from one connection by another.", m.Takeovers)
	s.count("mqtt_sessions_expired_total", "Sessions that ended because their clients had been away for too long.", m.ExpiredSessions)
	s.count("mqtt_packets_received_total", "Packets from clients.", m.Packets)
	for qos := range m.Received {
		label := strconv.Itoa(qos)
		s.count("mqtt_messages_received_total", "Messages from clients, by QoS.", m.Received[qos], "qos", label)
		s.count("mqtt_messages_sent_total", "Messages to clients, by QoS.", m.Sent[qos], "qos", label)
		s.count("mqtt_messages_dropped_total", "Messages that a session should have had and has lost, by QoS: its bounds were reached, or those of the log.", m.Dropped[qos], "qos", label)
	}
	s.count("mqtt_messages_refused_total", "Messages from clients that may not publish them.", m.Refused)
	s.count("mqtt_messages_failed_total", "Messages that could not be stored, and were not acknowledged.", m.Failed)
	s.count("mqtt_messages_expired_total", "Messages that were not sent because their expiry had passed.", m.Expired)
	s.count("mqtt_messages_too_large_total", "Messages that were not sent because they are larger than the client takes.", m.TooLarge)
	s.count("mqtt_wills_total", "Wills that were published.", m.Wills)
}
