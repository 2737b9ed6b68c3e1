// Package fleet is a simulated fleet of devices, for `spate demo` and for tests: real MQTT clients over the network, of which every other one speaks 3.1.1
// and the rest 5.0.
//
// A device has a thermometer, a heater and a fan. It publishes its temperature on sensors/{device}/temperature with QoS 1, does what it is told by
// the method "fan" of the commands of package device, and reports whether its fan is on and what is wrong with it as its state. Now and then its heater
// does not turn off, so that it overheats unless its fan is turned on; or its thermometer is broken and says [Broken]; or its network is cut for some seconds,
// without a DISCONNECT. Its session outlives that, and its will tells of it on sensors/{device}/status.
//
// # Time and chance
//
// With each reading a second passes in the simulation, however long that takes. What happens to a device follows from the seed and its number; only
// what it is told to do by others changes it. One device, [Fleet.First], overheats soon.
//
// # Blocking and limits
//
// Run blocks until its context ends, has one task for each device, and has waited for all of them when it returns. A device connects again, after a second, however
// its connection has ended; only one that cannot connect the first time ends the run. Devices are not more than [MaxDevices], and nothing is kept that grows.
//
// What is not promised: that readings come at exact times; that the simulated physics are those of any real device.
package fleet
