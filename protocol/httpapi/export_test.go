package httpapi

// Routes returns the routes of the API, as "METHOD /path".
func Routes() []string {
	all := []string{publishRoute.method + " " + publishRoute.path}
	for _, r := range apiRoutes {
		all = append(all, r.method+" "+r.path)
	}
	return all
}
