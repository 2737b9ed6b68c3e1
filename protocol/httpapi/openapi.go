package httpapi

import (
	_ "embed" // for the document
	"net/http"
)

// document describes the API (OpenAPI 3.1). It is written by hand; tests hold it against the routes and what they answer.
//
//go:embed openapi.json
var document []byte

// describeAPI is GET /v1/openapi.json.
func (d *Door) describeAPI(c *call) error {
	c.w.Header().Set("Content-Type", "application/json")
	c.w.WriteHeader(http.StatusOK)
	_, _ = c.w.Write(document) // fails only when the client is gone
	return nil
}
