module github.com/spate-io/spate/referee

go 1.26.0

replace github.com/spate-io/spate => ../

require (
	github.com/eclipse/paho.golang v0.23.0
	github.com/eclipse/paho.mqtt.golang v1.5.1
	github.com/spate-io/spate v0.0.0
)
