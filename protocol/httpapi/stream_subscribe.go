package httpapi

import "net/url"

func (s *subscription) serveStream(url.Values, bool) error { return problemf(kindNotFound, "soon") }
