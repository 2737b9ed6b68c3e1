package client

import "time"

const (
	// maxAnswer bounds an answer that is read into memory: a page of a thousand dead letters of 16 KiB.
	maxAnswer = 64 << 20
	// maxProblem bounds the text of an error.
	maxProblem = 64 << 10
	// maxLine bounds a line of a subscription: the largest event, in base64, and its attributes.
	maxLine = 64 << 20
	// dialTimeout bounds connecting, and the TLS handshake after it.
	dialTimeout = 10 * time.Second
	// silence is how long a subscription may say nothing: three of the heartbeats that a server sends by default.
	silence = 45 * time.Second
	// firstPause and maxPause bound the pause before a subscription connects again.
	firstPause = 250 * time.Millisecond
	maxPause   = 30 * time.Second
)
