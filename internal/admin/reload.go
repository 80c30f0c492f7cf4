package admin

import (
	"net/http"

	"github.com/streamweir/weir/internal/base"
)

// reload serves POST /api/reload: what was changed, and what needs a restart. The error says what is wrong with the configuration;
// then nothing was changed.
func (a *api) reload(w http.ResponseWriter, r *http.Request) error {
	if err := a.readNothing(w, r); err != nil {
		return err
	}
	if a.Reload == nil {
		return refuse(base.CodeUnsupported, "this server has no configuration to read again: the application makes its options")
	}
	body, err := a.Reload()
	if err != nil {
		return refuse(base.CodeInvalid, "nothing was changed: %v", err)
	}
	a.wrote(r, "reload")
	return writeJSON(w, http.StatusOK, body)
}
