// Package referee holds the MQTT codec of Spate against the two of Eclipse Paho for Go, which nobody here wrote:
// paho.mqtt.golang for version 3.1.1 and paho.golang for version 5. What one side writes the other reads as the same; of
// packets that were changed at random both read the same, or the packet is in the list of what Spate refuses and Paho
// does not, each with the clause of the specification that Spate keeps to. It is a module of its own, so that those
// libraries are not among the dependencies of the server.
package referee
