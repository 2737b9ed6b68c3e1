module github.com/spate-io/spate/bench

go 1.26.0

replace github.com/spate-io/spate => ../

require (
	github.com/cloudwego/netpoll v0.7.2
	github.com/spate-io/spate v0.0.0
	golang.org/x/sys v0.49.0
)

require (
	github.com/bytedance/gopkg v0.1.1 // indirect
	github.com/cloudwego/gopkg v0.1.4 // indirect
)
