// Package build says which version of Weir this is.
package build

import (
	"runtime/debug"
	"time"
)

// version is set by the linker: -ldflags "-X github.com/streamweir/weir/internal/build.version=v1.2.3".
var version = "dev"

// Version is the release, "dev" for a build from a checkout, or the module's
// version where Weir was fetched as a dependency.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || version != "dev" {
		return version
	}
	for _, m := range append(info.Deps, &info.Main) {
		if m.Path == "github.com/streamweir/weir" && m.Version != "" && m.Version != "(devel)" {
			return m.Version
		}
	}
	return version
}

// Revision is the commit the binary was built from, "" if it was not recorded.
func Revision() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return ""
}

// Time is when the commit was made that the binary was built from, zero if it was not recorded.
func Time() time.Time {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return time.Time{}
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.time" {
			at, _ := time.Parse(time.RFC3339, s.Value) // zero if it cannot be read
			return at
		}
	}
	return time.Time{}
}
