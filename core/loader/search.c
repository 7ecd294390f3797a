/*
 * Where plugins are looked for.
 *
 *   1. a path in the manifest           registry_add, not here
 *   2. folders of WEIR_PLUGIN_PATH      ignored when privileged
 *   3. $XDG_DATA_HOME/weir/plugins-1    likewise; $HOME/.local/share without the variable
 *   4. <program>/../lib/weir/plugins-1  also in the build tree; and the distribution's library
 *                                       folder where that is another
 *
 * Only absolute folders count: a relative one would depend on the working directory, and whoever
 * can make somebody start weir in a folder of theirs could then run code. A folder holds .so files,
 * or packages as <id>/<version>-<hash8>/x.so.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/os.h"
#include "base/str.h"
#include "loader/registry.h"

/* Levels of folders below a place: <id>/<version>-<hash8>. */
#define LEVELS_MAX 2u
#define PLACES_MAX 64u

#define SUBDIR "weir/plugins-1"
#ifndef WEIR_LIBDIR
#define WEIR_LIBDIR "lib"
#endif

static void add_place(registry *r, const char *path, const char *origin);
static void add_plugin_path(registry *r, const char *list);
static void search_folder(registry *r, size_t place_index, const char *path, unsigned level);

void search_places(registry *r) {
    const char *value = getenv("WEIR_PLUGIN_PATH");
    if (value != NULL && *value != '\0') {
        if (os_privileged()) {
            add_place(r, "$WEIR_PLUGIN_PATH", "WEIR_PLUGIN_PATH");
            if (r->place_count > 0) {
                r->places[r->place_count - 1].state = "ignored: the program runs with privileges";
            }
        } else {
            add_plugin_path(r, value);
        }
    }
    value = os_env("XDG_DATA_HOME", true);
    if (value != NULL) {
        add_place(r, arena_printf(r->memory, "%s/" SUBDIR, value), "XDG_DATA_HOME");
    } else if ((value = os_env("HOME", true)) != NULL) {
        add_place(r, arena_printf(r->memory, "%s/.local/share/" SUBDIR, value), "HOME");
    }
    char *program = os_program_dir(r->memory);
    if (program != NULL) {
        const char *slash = strrchr(program, '/');
        int parent = slash != NULL ? (int)(slash - program) : 0;
        add_place(r, arena_printf(r->memory, "%.*s/lib/" SUBDIR, parent, program), "program");
        if (strcmp(WEIR_LIBDIR, "lib") != 0) {
            add_place(r, arena_printf(r->memory, "%.*s/" WEIR_LIBDIR "/" SUBDIR, parent, program),
                      "program");
        }
    }
}

static void add_place(registry *r, const char *path, const char *origin) {
    if (path == NULL || !registry_grow((void **)&r->places, &r->place_capacity, r->place_count,
                                       sizeof(place), PLACES_MAX)) {
        r->out_of_space = true;
        return;
    }
    for (size_t i = 0; i < r->place_count; i++) {
        if (strcmp(r->places[i].path, path) == 0) return;
    }
    place *p = &r->places[r->place_count++];
    *p = (place){.path = path, .origin = origin};
    if (path[0] != '/' && path[0] != '$') p->state = "ignored: not an absolute path";
}

static void add_plugin_path(registry *r, const char *list) {
    while (*list != '\0') {
        size_t len = strcspn(list, ":");
        /* An empty entry means the working directory to a shell; here it means nothing. */
        if (len > 0) {
            add_place(r, arena_str(r->memory, (weir_str){list, len}).ptr, "WEIR_PLUGIN_PATH");
        }
        list += len;
        if (*list == ':') list++;
    }
}

void search_place(registry *r, size_t place_index) {
    if (r->places[place_index].state == NULL) {
        search_folder(r, place_index, r->places[place_index].path, 0);
    }
}

typedef struct found { /* one folder's entries, to be sorted */
    const char **files, **folders;
    size_t file_count, file_capacity, folder_count, folder_capacity;
} found;

static int by_name(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void keep(registry *r, const char ***list, size_t *count, size_t *capacity,
                 const char *folder, const char *name) {
    const char *path = arena_printf(r->memory, "%s/%s", folder, name);
    if (path == NULL ||
        !registry_grow((void **)list, capacity, *count, sizeof(char *), REGISTRY_FILES_MAX)) {
        r->out_of_space = true;
        return;
    }
    (*list)[(*count)++] = path;
}

static bool is_folder(DIR *dir, const struct dirent *entry) {
    struct stat st;
    if (entry->d_type == DT_DIR) return true;
    if (entry->d_type != DT_LNK && entry->d_type != DT_UNKNOWN) return false;
    return fstatat(dirfd(dir), entry->d_name, &st, 0) == 0 && S_ISDIR(st.st_mode);
}

static void read_folder(registry *r, DIR *dir, const char *path, unsigned level, found *f) {
    const struct dirent *entry;
    while ((entry = readdir(dir)) != NULL) {
        weir_str name = str_of(entry->d_name);
        if (name.ptr[0] == '.') continue;
        if (str_ends(name, STR(".so"))) {
            keep(r, &f->files, &f->file_count, &f->file_capacity, path, name.ptr);
        } else if (level < LEVELS_MAX && !str_ends(name, STR(".json")) && is_folder(dir, entry)) {
            keep(r, &f->folders, &f->folder_count, &f->folder_capacity, path, name.ptr);
        }
    }
}

static void search_folder(registry *r, size_t place_index, const char *path, unsigned level) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL) {
        int code = errno;
        char why[128];
        if (fd >= 0) (void)close(fd);
        const char *state = code == ENOENT ? "does not exist"
                                           : arena_printf(r->memory, "cannot be read: %s",
                                                          os_strerror(code, why, sizeof why));
        if (level == 0) r->places[place_index].state = state != NULL ? state : "cannot be read";
        return;
    }
    found f = {0};
    read_folder(r, dir, path, level, &f);
    (void)closedir(dir);
    /* readdir's order is the file system's: which of two plugins wins must not depend on it. */
    if (f.file_count > 1) qsort(f.files, f.file_count, sizeof *f.files, by_name);
    if (f.folder_count > 1) qsort(f.folders, f.folder_count, sizeof *f.folders, by_name);
    for (size_t i = 0; i < f.file_count; i++) {
        if (++r->files > REGISTRY_FILES_MAX) {
            r->out_of_space = true;
            break;
        }
        weir_error *err = error_new();
        plugin_ref *p = NULL;
        if (registry_take(r, f.files[i], place_index, NULL, &p, err) == WEIR_OK) {
            r->places[place_index].plugins++;
        } else {
            registry_refuse(r, f.files[i], err);
        }
        error_free(err);
    }
    for (size_t i = 0; i < f.folder_count && !r->out_of_space; i++) {
        search_folder(r, place_index, f.folders[i], level + 1);
    }
    mem_free(f.files);
    mem_free(f.folders);
}
