#include "loader/registry.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/os.h"
#include "base/str.h"
#include "loader/digest.h"
#include "loader/elf_note.h"
#include "loader/version.h"

/* Pages of the sidecar hold the same hash in either case. */
static bool same_hash(const char *a, const char *b);
static bool same_file(const plugin_ref *a, const plugin_ref *b);
static void insert(registry *r, plugin_ref *p);
static void shadow_later(registry *r);

/* ---- reading one file ---- */

weir_status loader_read_note(const char *path, arena *memory, note *out, weir_error *err) {
    note_reader reader = {0};
    weir_status status = registry_read_note(&reader, path, memory, out, NULL, NULL, err);
    note_reader_free(&reader);
    return status;
}

static weir_status read_open_file(note_reader *reader, int fd, arena *memory, note *out,
                                  file_identity *identity, const char *sha256, weir_error *err) {
    struct stat st;
    if (fstat(fd, &st) != 0) {
        char why[128];
        return error_set(err, WEIR_E_IO, 0, "cannot be read: %s",
                         os_strerror(errno, why, sizeof why));
    }
    if (!S_ISREG(st.st_mode)) return error_set(err, WEIR_E_DATA, 0, "is not a regular file");
    if (identity != NULL) {
        *identity = (file_identity){st.st_dev, st.st_ino, st.st_size, st.st_mtim};
    }
    if (sha256 != NULL) {
        char actual[DIGEST_HEX + 1];
        weir_status status = digest_file(fd, actual, err);
        if (status != WEIR_OK) return status;
        if (!same_hash(actual, sha256)) {
            return error_set(err, WEIR_E_INCOMPATIBLE, WEIR_ERR_CONFIG,
                             "is not the pinned file: expected sha256 %s, found %s", sha256,
                             actual);
        }
    }
    weir_status status = elf_note_find(fd, (uint64_t)st.st_size, memory, &out->json, err);
    return status == WEIR_OK ? note_parse(reader, memory, out, err) : status;
}

weir_status registry_read_note(note_reader *reader, const char *path, arena *memory, note *out,
                               file_identity *identity, const char *sha256, weir_error *err) {
    *out = (note){0};
    out->path = arena_str(memory, str_of(path));
    if (out->path.ptr == NULL) return error_set(err, WEIR_E_NOMEM, 0, "no memory for the note");
    /* O_NONBLOCK: a FIFO named x.so must not stop the program. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        int code = errno;
        char why[128];
        weir_status status = code == ENOENT || code == ENOTDIR ? WEIR_E_NOT_FOUND
                             : code == EACCES || code == EPERM ? WEIR_E_PERMISSION
                                                               : WEIR_E_IO;
        return error_set(err, status, 0, "cannot be opened: %s",
                         os_strerror(code, why, sizeof why));
    }
    weir_status status = read_open_file(reader, fd, memory, out, identity, sha256, err);
    (void)close(fd);
    return status;
}

static bool same_hash(const char *a, const char *b) {
    for (; *a != '\0' && *b != '\0'; a++, b++) {
        if (tolower((unsigned char)*a) != tolower((unsigned char)*b)) return false;
    }
    return *a == *b;
}

static bool same_file(const plugin_ref *a, const plugin_ref *b) {
    return a->identity.dev == b->identity.dev && a->identity.ino == b->identity.ino;
}

/* ---- the registry ---- */

registry *registry_new(void) {
    registry *r = mem_zalloc(sizeof *r);
    if (r == NULL) return NULL;
    r->memory = arena_new(REGISTRY_BYTES_MAX);
    if (r->memory == NULL) {
        mem_free(r);
        return NULL;
    }
    return r;
}

void registry_free(registry *r) {
    if (r == NULL) return;
    bind_end(r);
    note_reader_free(&r->reader);
    arena_free(r->memory);
    mem_free(r->places);
    mem_free(r->plugins);
    mem_free(r->refusals);
    mem_free(r);
}

void registry_scan(registry *r) {
    if (r->scanned) return;
    r->scanned = true;
    search_places(r);
    for (size_t i = 0; i < r->place_count; i++) search_place(r, i);
    /* Notes are parsed once each, so the parser's memory is not wanted any more. */
    note_reader_free(&r->reader);
    if (r->out_of_space) {
        weir_error *err = error_new();
        (void)error_set(err, WEIR_E_TOO_LARGE, 0,
                        "more plugins than are looked at (%u files, %u MiB of descriptions)",
                        REGISTRY_FILES_MAX, REGISTRY_BYTES_MAX >> 20);
        registry_refuse(r, "search path", err);
        error_free(err);
    }
}

static bool is_sha256(const char *s) {
    size_t n = 0;
    while (isxdigit((unsigned char)s[n])) n++;
    return n == DIGEST_HEX && s[n] == '\0';
}

weir_status registry_add(registry *r, const char *path, const char *sha256, weir_error *err) {
    char resolved[PATH_MAX];
    plugin_ref *p = NULL;
    if (sha256 != NULL && !is_sha256(sha256)) {
        return error_set(err, WEIR_E_INVALID_ARG, WEIR_ERR_CONFIG,
                         "sha256 \"%s\": expected %u hexadecimal digits", sha256, DIGEST_HEX);
    }
    /* dlopen searches its own path for a name without a slash; an absolute one is what it says. */
    if (realpath(path, resolved) == NULL) {
        int code = errno;
        char why[128];
        return error_set(err, code == ENOENT ? WEIR_E_NOT_FOUND : WEIR_E_IO, WEIR_ERR_CONFIG,
                         "plugin %s: cannot be opened: %s", path,
                         os_strerror(code, why, sizeof why));
    }
    weir_status status = registry_take(r, resolved, SIZE_MAX, sha256, &p, err);
    if (status != WEIR_OK) error_prefix(err, "plugin %s", path);
    return status;
}

weir_status registry_take(registry *r, const char *path, size_t place_index, const char *sha256,
                          plugin_ref **out, weir_error *err) {
    plugin_ref *p = arena_zalloc(r->memory, sizeof *p);
    if (p == NULL) return error_set(err, WEIR_E_NOMEM, 0, "more memory than plugins may take");
    weir_status status =
        registry_read_note(&r->reader, path, r->memory, &p->note, &p->identity, sha256, err);
    if (status != WEIR_OK) return status;
    p->path = p->note.path.ptr;
    p->place = place_index;
    for (size_t i = 0; i < r->plugin_count && place_index == SIZE_MAX; i++) {
        plugin_ref *other = r->plugins[i];
        if (other->place != SIZE_MAX || !str_eq(other->note.id, p->note.id)) continue;
        if (same_file(other, p)) {
            *out = other; /* named twice */
            return WEIR_OK;
        }
        return error_set(err, WEIR_E_EXISTS, WEIR_ERR_CONFIG,
                         "is plugin %.*s, and so is %s, which the manifest names too",
                         STR_FMT(p->note.id), other->path);
    }
    p->components = arena_array(r->memory, p->note.component_count, sizeof *p->components);
    if (p->components == NULL ||
        !registry_grow((void **)&r->plugins, &r->plugin_capacity, r->plugin_count,
                       sizeof(plugin_ref *), REGISTRY_FILES_MAX)) {
        return error_set(err, WEIR_E_NOMEM, 0, "more memory than plugins may take");
    }
    for (size_t i = 0; i < p->note.component_count; i++) {
        p->components[i] = (component_ref){.plugin = p, .note = &p->note.components[i]};
    }
    insert(r, p);
    shadow_later(r);
    *out = p;
    return WEIR_OK;
}

/* Order of precedence: named by path, then by place, then by version of one id, the newest first.
 */
static bool before(const plugin_ref *a, const plugin_ref *b) {
    bool a_named = a->place == SIZE_MAX;
    bool b_named = b->place == SIZE_MAX;
    if (a_named != b_named) return a_named;
    if (a->place != b->place) return a->place < b->place;
    if (a_named || !str_eq(a->note.id, b->note.id)) return false;
    return version_compare(a->note.version, b->note.version) > 0;
}

static void insert(registry *r, plugin_ref *p) {
    size_t at = r->plugin_count;
    for (size_t i = 0; i < r->plugin_count; i++) {
        if (before(p, r->plugins[i])) {
            at = i;
            break;
        }
    }
    memmove(&r->plugins[at + 1], &r->plugins[at], (r->plugin_count - at) * sizeof *r->plugins);
    r->plugins[at] = p;
    r->plugin_count++;
}

/* Of several plugins with one id only the first one counts. One that is loaded already stays. */
static void shadow_later(registry *r) {
    for (size_t i = 0; i < r->plugin_count; i++) {
        plugin_ref *p = r->plugins[i];
        p->shadowed_by = NULL;
        for (size_t k = 0; k < i && p->shadowed_by == NULL; k++) {
            if (str_eq(r->plugins[k]->note.id, p->note.id)) p->shadowed_by = r->plugins[k];
        }
    }
}

bool registry_grow(void **items, size_t *capacity, size_t count, size_t size, size_t max) {
    if (count < *capacity) return true;
    size_t want = *capacity == 0 ? 16 : *capacity * 2;
    if (count >= max) return false;
    if (want > max) want = max;
    void *bigger = mem_realloc(*items, want * size);
    if (bigger == NULL) return false;
    *items = bigger;
    *capacity = want;
    return true;
}

void registry_refuse(registry *r, const char *path, const weir_error *err) {
    buf text;
    buf_init(&text, 16384);
    buf_printf(&text, "%s: ", path);
    error_format(err, &text);
    weir_str kept = buf_ok(&text) ? arena_str(r->memory, buf_str(&text)) : (weir_str){0};
    buf_free(&text);
    if (kept.ptr == NULL ||
        !registry_grow((void **)&r->refusals, &r->refusal_capacity, r->refusal_count,
                       sizeof(weir_str), REGISTRY_REFUSALS_MAX)) {
        r->out_of_space = true;
        return;
    }
    r->refusals[r->refusal_count++] = kept;
}

/* ---- looking things up ---- */

/* Plugins that count are numbered without the shadowed ones. */
size_t registry_plugin_count(const registry *r) {
    size_t count = 0;
    for (size_t i = 0; i < r->plugin_count; i++) count += r->plugins[i]->shadowed_by == NULL;
    return count;
}

const plugin_ref *registry_plugin(const registry *r, size_t index) {
    for (size_t i = 0; i < r->plugin_count; i++) {
        if (r->plugins[i]->shadowed_by != NULL) continue;
        if (index-- == 0) return r->plugins[i];
    }
    return NULL;
}

const note *plugin_ref_note(const plugin_ref *p) {
    return &p->note;
}

static bool is_hidden(const plugin_ref *p) {
    return p->shadowed_by != NULL && !same_file(p, p->shadowed_by);
}

size_t registry_shadowed_count(const registry *r) {
    size_t count = 0;
    for (size_t i = 0; i < r->plugin_count; i++) count += is_hidden(r->plugins[i]);
    return count;
}

const plugin_ref *registry_shadowed(const registry *r, size_t index, const plugin_ref **by) {
    for (size_t i = 0; i < r->plugin_count; i++) {
        const plugin_ref *p = r->plugins[i];
        if (!is_hidden(p) || index-- > 0) continue;
        *by = p->shadowed_by;
        return p;
    }
    return NULL;
}

const component_ref *registry_find(const registry *r, uint32_t kind, weir_str name) {
    for (size_t i = 0; i < r->plugin_count; i++) {
        const plugin_ref *p = r->plugins[i];
        if (p->shadowed_by != NULL) continue;
        for (size_t k = 0; k < p->note.component_count; k++) {
            const note_component *c = &p->note.components[k];
            if (c->kind == kind && str_eq(c->name, name)) return &p->components[k];
        }
    }
    return NULL;
}

const note_component *component_note(const component_ref *c) {
    return c->note;
}

const plugin_ref *component_plugin(const component_ref *c) {
    return c->plugin;
}

size_t registry_refusal_count(const registry *r) {
    return r->refusal_count;
}

weir_str registry_refusal(const registry *r, size_t index) {
    return r->refusals[index];
}

/* ---- explaining why something was not found ---- */

#define NAMES_MAX 512u

typedef struct names { /* that could have been meant */
    weir_str list[NAMES_MAX];
    size_t count;
} names;

static void add_name(names *n, weir_str name) {
    if (n->count < NAMES_MAX) n->list[n->count++] = name;
}

static void explain_nearest(const registry *r, uint32_t kind, weir_str name, buf *out) {
    names known = {.count = 0};
    for (size_t i = 0; i < r->plugin_count; i++) {
        const plugin_ref *p = r->plugins[i];
        if (p->shadowed_by != NULL) continue;
        if (kind == 0) {
            add_name(&known, p->note.name);
            add_name(&known, p->note.id);
        }
        for (size_t k = 0; k < p->note.component_count; k++) {
            const note_component *c = &p->note.components[k];
            if (kind == 0 || c->kind == kind) {
                add_name(&known, c->name);
            } else if (str_eq(c->name, name)) {
                buf_printf(out, "\"%.*s\" is a %s, not a %s\n", STR_FMT(name),
                           note_kind_name(c->kind), note_kind_name(kind));
            }
        }
    }
    int nearest = str_nearest(name, known.list, known.count);
    if (nearest >= 0) buf_printf(out, "did you mean \"%.*s\"?\n", STR_FMT(known.list[nearest]));
}

static bool has_component(const note *n, uint32_t kind, weir_str name) {
    for (size_t i = 0; i < n->component_count; i++) {
        const note_component *c = &n->components[i];
        if ((kind == 0 || c->kind == kind) && str_eq(c->name, name)) return true;
    }
    return false;
}

/* The usual case: an old copy of a plugin on the search path hides the new one. */
static void explain_shadowed(const registry *r, uint32_t kind, weir_str name, buf *out) {
    const plugin_ref *by;
    const plugin_ref *p;
    for (size_t i = 0; (p = registry_shadowed(r, i, &by)) != NULL; i++) {
        if (!has_component(&p->note, kind, name)) continue;
        buf_printf(out, "%s (%.*s) has it, but is shadowed by %s (%.*s)\n", p->path,
                   STR_FMT(p->note.version), by->path, STR_FMT(by->note.version));
    }
}

void registry_explain(const registry *r, uint32_t kind, weir_str name, buf *out) {
    explain_nearest(r, kind, name, out);
    explain_shadowed(r, kind, name, out);
    buf_append_z(out, "searched:");
    for (size_t i = 0; i < r->plugin_count; i++) {
        if (r->plugins[i]->place == SIZE_MAX) {
            buf_printf(out, "\n  %s (manifest)", r->plugins[i]->path);
        }
    }
    for (size_t i = 0; i < r->place_count; i++) {
        const place *p = &r->places[i];
        buf_printf(out, "\n  %s (%s): ", p->path, p->origin);
        if (p->state != NULL)
            buf_append_z(out, p->state);
        else
            buf_printf(out, "%zu plugin%s", p->plugins, p->plugins == 1 ? "" : "s");
    }
    if (r->place_count == 0) buf_append_z(out, "\n  no place");
    if (r->refusal_count == 0) return;
    buf_append_z(out, "\nrefused:");
    for (size_t i = 0; i < r->refusal_count; i++) {
        buf_printf(out, "\n  %.*s", STR_FMT(r->refusals[i]));
    }
}
