package transport

// ParseUpgrade lets tests compare it with net/http.
var ParseUpgrade = parseUpgrade
