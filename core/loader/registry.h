/*
 * core/loader/registry.h - what a registry consists of: shared by registry.c, search.c and bind.c.
 *
 * Private to the loader. A registry is owned by one control thread; everything in it lives as long
 * as it does, so refs and notes that were handed out stay good.
 *
 *   registry
 *     places[]     where plugins are looked for, in search order
 *     plugins[]    usable ones: those a manifest names by path first, then by place
 *       components[]  one a component of the note
 *         bound       the shadow tables, once bound
 *     refusals[]   files that cannot be used, with the reason
 */
#ifndef WEIR_LOADER_REGISTRY_H
#define WEIR_LOADER_REGISTRY_H

#include <sys/stat.h>
#include <time.h>

#include "loader/loader.h"
#include "loader/note_parse.h"

/* Memory of all notes and refusals together: three times what ours take, a hundred times over. */
#define REGISTRY_BYTES_MAX (64u << 20)
/* Files looked at in all places together. */
#define REGISTRY_FILES_MAX 4096u
/* Texts of refusals kept. */
#define REGISTRY_REFUSALS_MAX 1024u

typedef struct place {
    const char *path;   /* absolute */
    const char *origin; /* "WEIR_PLUGIN_PATH", for messages */
    const char *state;  /* after the scan: why nothing was read; NULL if it was */
    size_t plugins;     /* usable ones found in it */
} place;

/* Which file a note was read from; checked again before it is loaded. */
typedef struct file_identity {
    dev_t dev;
    ino_t ino;
    off_t size;
    struct timespec modified;
} file_identity;

struct component_ref {
    plugin_ref *plugin;
    const note_component *note;
    bound_component *bound; /* NULL until loader_bind */
};

struct plugin_ref {
    note note;
    const char *path; /* of the .so, with a NUL */
    file_identity identity;
    size_t place;                  /* index into places; SIZE_MAX = named by path */
    const plugin_ref *shadowed_by; /* another plugin of this id that comes first; NULL: it counts */
    component_ref *components;
    /* after loading */
    const weir_host *host;
    weir_plugin table; /* shadow */
    bool loaded;
};

struct registry {
    arena *memory;
    note_reader reader;
    bool scanned;
    place *places;
    size_t place_count, place_capacity;
    plugin_ref **plugins; /* in order of precedence */
    size_t plugin_count, plugin_capacity;
    weir_str *refusals;
    size_t refusal_count, refusal_capacity;
    size_t files;      /* looked at */
    bool out_of_space; /* a limit was reached: told once as a refusal */
};

/* Reads the note of `path` with the registry's own reader; `identity` may be NULL. */
weir_status registry_read_note(note_reader *reader, const char *path, arena *memory, note *out,
                               file_identity *identity, const char *sha256, weir_error *err);
/* Room for one more element; false at the limit or without memory. */
bool registry_grow(void **items, size_t *capacity, size_t count, size_t size, size_t max);
void registry_refuse(registry *r, const char *path, const weir_error *err);
/* Takes a plugin in; keeps the order of precedence. */
weir_status registry_take(registry *r, const char *path, size_t place_index, const char *sha256,
                          plugin_ref **out, weir_error *err);

/* search.c: finds the places, and the files in one of them. */
void search_places(registry *r);
void search_place(registry *r, size_t place_index);

/* bind.c: calls deinit of everything that was loaded. */
void bind_end(registry *r);

#endif
