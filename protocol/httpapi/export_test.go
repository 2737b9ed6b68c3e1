package httpapi

// Routes returns the routes of the API, as "METHOD /path".
func Routes() []string {
	all := []string{publishRoute.method + " " + publishRoute.path}
	for _, r := range apiRoutes {
		all = append(all, r.method+" "+r.path)
	}
	return all
}

// Parameters returns those that each route knows, by "METHOD /path".
func Parameters() map[string][]string {
	all := map[string][]string{publishRoute.method + " " + publishRoute.path: publishRoute.query}
	for _, r := range apiRoutes {
		all[r.method+" "+r.path] = r.query
	}
	return all
}
