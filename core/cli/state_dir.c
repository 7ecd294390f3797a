/*
 * Where the state of pipelines lies: WEIR_STATE, else $XDG_STATE_HOME/weir, ~/.local/state/weir, or
 * /var/lib/weir for root.
 */
#include <stdlib.h>
#include <unistd.h>

#include "base/os.h"
#include "base/str.h"
#include "cli/cli.h"

const char *state_root(arena *memory, weir_error *err) {
    const char *given = os_env("WEIR_STATE", true);
    if (given != NULL) {
        if (given[0] == '/') return arena_printf(memory, "%s", given);
        char *here = getcwd(NULL, 0);
        if (here == NULL) {
            error_set(err, WEIR_E_IO, 0, "cannot tell the working folder for WEIR_STATE=%s", given);
            return NULL;
        }
        const char *path = arena_printf(memory, "%s/%s", here, given);
        free(here);
        return path;
    }
    if (geteuid() == 0) return "/var/lib/weir";
    const char *state = os_env("XDG_STATE_HOME", true);
    if (state != NULL && state[0] == '/') return arena_printf(memory, "%s/weir", state);
    const char *home = os_env("HOME", true);
    if (home != NULL && home[0] == '/') return arena_printf(memory, "%s/.local/state/weir", home);
    error_set(err, WEIR_E_NOT_FOUND, WEIR_ERR_CONFIG, "there is no place for the pipeline's state");
    error_hint(err, "set WEIR_STATE to a folder");
    return NULL;
}

const char *state_folder(arena *memory, weir_str name, weir_error *err) {
    const char *root = state_root(memory, err);
    return root != NULL ? arena_printf(memory, "%s/%.*s", root, STR_FMT(name)) : NULL;
}

const char *state_place(arena *memory, const pipeline *p) {
    if (p->settings.checkpoint_store.len == 0) return NULL;
    return arena_printf(memory, "%.*s/%.*s", STR_FMT(p->settings.checkpoint_store),
                        STR_FMT(p->name));
}
