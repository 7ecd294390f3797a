/*
 * Where the state of pipelines lies: WEIR_STATE, else $XDG_STATE_HOME/weir, ~/.local/state/weir, or
 * /var/lib/weir for root.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
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

/* One line: the path. Whoever reads it sees the old one or the new one. */
weir_status state_write_place(const char *folder, const char *lies, weir_error *err) {
    char path[4096], temporary[4096], text[128];
    snprintf(path, sizeof path, "%s/place", folder);
    snprintf(temporary, sizeof temporary, "%s/place.tmp", folder);
    int code = 0;
    if (lies == NULL) {
        if (unlink(path) != 0 && errno != ENOENT) code = errno;
    } else {
        size_t len = strlen(lies);
        int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0) {
            code = errno;
        } else {
            errno = ENOSPC; /* a short write says nothing else */
            bool whole = write(fd, lies, len) == (ssize_t)len && write(fd, "\n", 1) == 1;
            if (!whole) code = errno;
            if (close(fd) != 0 && code == 0) code = errno;
            if (code == 0 && rename(temporary, path) != 0) code = errno;
        }
    }
    if (code == 0) return WEIR_OK;
    return error_set(err, code == EACCES ? WEIR_E_PERMISSION : WEIR_E_IO, 0, "write %s: %s", path,
                     os_strerror(code, text, sizeof text));
}

weir_status state_read_place(arena *memory, const char *folder, const char **lies,
                             weir_error *err) {
    char path[4096];
    buf text;
    *lies = NULL;
    snprintf(path, sizeof path, "%s/place", folder);
    buf_init(&text, 8192);
    weir_status status = os_read_file(path, 4096, &text, err);
    if (status == WEIR_E_NOT_FOUND) {
        error_clear(err);
        status = WEIR_OK;
    } else if (status == WEIR_OK) {
        while (text.len > 0 && text.data[text.len - 1] == '\n') text.len--;
        if (text.len > 0 && text.data[0] == '/') {
            *lies = arena_printf(memory, "%.*s", STR_FMT(buf_str(&text)));
            if (*lies == NULL) status = error_set(err, WEIR_E_NOMEM, 0, "out of memory");
        } else {
            status = error_set(err, WEIR_E_DATA, 0, "%s holds no path", path);
            error_hint(err, "weir run writes it anew");
        }
    }
    buf_free(&text);
    return status;
}
