/*
 * plugins/std/file_list.h - which files a `file` source reads, and their names as splits.
 */
#ifndef WEIR_STD_FILE_LIST_H
#define WEIR_STD_FILE_LIST_H

#include "std.h"

/* A split id is at most this long (see weir/source.h). */
#define FILE_ID_MAX 255u
/* A path travels as private bytes of its split, which may not be longer. */
#define FILE_PATH_MAX 4096u

typedef struct file_list {
    char **path; /* [count], sorted, unique */
    size_t count;
    size_t capacity;
} file_list;

/*
 * All files that the option `path` (a glob, a path, or a list of them) names now. Folders that a
 * glob meets are left out. `must_exist`: a pattern without a file is WEIR_E_NOT_FOUND, a file that
 * cannot be read WEIR_E_PERMISSION; otherwise such a pattern simply yields nothing yet.
 */
weir_status file_list_make(weir_ctx *ctx, bool must_exist, file_list *out, weir_error *error);
void file_list_free(weir_ctx *ctx, file_list *list);

/* The split id of a path: the path itself, or its tail with a hash of the whole if it is too long
 * or not printable. `out` has room for FILE_ID_MAX bytes; returns the length. */
uint32_t file_id(const char *path, char *out);

/* Where a reader that begins at the end of a file begins: behind the last '\n' of its first `size`
 * bytes when records are lines, so that a line that is half written is not cut. */
uint64_t file_end_offset(int fd, uint64_t size, bool lines);

#endif
