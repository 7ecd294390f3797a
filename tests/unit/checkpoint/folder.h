/*
 * A folder of a test's own, removed with everything in it.
 */
#ifndef TESTS_CHECKPOINT_FOLDER_H
#define TESTS_CHECKPOINT_FOLDER_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static inline int folder_remove_one(const char *path, const struct stat *st, int type,
                                    struct FTW *at) {
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

static inline void folder_remove(const char *path) {
    (void)nftw(path, folder_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* NULL if there is none to be had. The caller's (free). */
static inline char *folder_make(void) {
    const char *base = getenv("TMPDIR");
    char *path = NULL;
    if (asprintf(&path, "%s/weir-test-XXXXXX", base != NULL && *base != '\0' ? base : "/tmp") < 0)
        return NULL;
    if (mkdtemp(path) != NULL) return path;
    free(path);
    return NULL;
}

static inline char *folder_path(const char *folder, const char *name) {
    char *path = NULL;
    return asprintf(&path, "%s/%s", folder, name) >= 0 ? path : NULL;
}

#endif
