/*
 * core/base/os.h - files, folders, environment: thin, with errors that name the path.
 */
#ifndef WEIR_BASE_OS_H
#define WEIR_BASE_OS_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"

/* A whole file of at most `max` bytes into `out` (appended). Errors: NOT_FOUND, PERMISSION, IO,
 * TOO_LARGE. Regular files, pipes and /dev/stdin. */
weir_status os_read_file(const char *path, size_t max, buf *out, weir_error *err);
/* mkdir -p with the given mode for the folders it makes. */
weir_status os_make_dirs(const char *path, unsigned mode, weir_error *err);
bool os_is_file(const char *path);
bool os_is_dir(const char *path);
/* The folder part of a path: "." if it has none. */
weir_str os_dirname(weir_str path);
/* `path` if absolute, else base/path. */
char *os_join(arena *a, weir_str base, weir_str path);
/* Folder of the running program, without a trailing slash; NULL if unknown. */
char *os_program_dir(arena *a);
/* getenv, but NULL for an empty value, and NULL when the process is privileged (setuid) and
 * `trusted_only` is set. */
const char *os_env(const char *name, bool trusted_only);
/* True for setuid, setgid or file capabilities (AT_SECURE). */
bool os_privileged(void);
/* Random bytes from the system; false if it has none. */
bool os_random(void *out, size_t size);
/* strerror, thread-safe. */
const char *os_strerror(int code, char *buffer, size_t size);

#endif
