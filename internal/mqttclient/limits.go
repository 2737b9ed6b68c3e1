package mqttclient

import "time"

const (
	// maxPacket is the largest packet that is read, since what a server says is trusted no more than what a client says.
	maxPacket = 64 << 20

	// readSize is how much is read at once.
	readSize = 16 << 10

	// writeTimeout ends a connection whose server does not read.
	writeTimeout = 30 * time.Second

	// pingTimeout is how late the answer to a ping may be.
	pingTimeout = 10 * time.Second

	// goodbyeTimeout is how long the server may take to close after DISCONNECT.
	goodbyeTimeout = 10 * time.Second

	// dialTimeout holds where the context of Dial has no end.
	dialTimeout = 30 * time.Second

	// defaultBuffer is how many messages wait for Receive.
	defaultBuffer = 1024

	// maxInflight is what a server that says nothing grants (MQTT 5, §3.2.2.3.3). It also bounds version 3.1.1.
	maxInflight = 65_535
)
