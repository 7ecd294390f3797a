/*
 * Binding: from here on code of a plugin runs.
 *
 *   plugin's table   struct_size=56  a b c          (built with older headers)
 *   shadow of ours   struct_size=64  a b c 0        copied min(theirs, mine), the rest zero
 *   after stubs                      a b c stub     nobody tests for NULL any more
 */
#include <dlfcn.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "loader/registry.h"
#include "loader/stubs.h"
#include "loader/version.h"

/* No table is ever this large: a struct_size beyond it is garbage. */
#define TABLE_BYTES_MAX 65536u

/* Bits that this host knows; of the others, those from 32 on are requirements. */
#define KNOWN_CAPABILITIES                                                                         \
    (WEIR_CAP_BUFFERED | WEIR_CAP_BOUNDED | WEIR_CAP_REPLAYABLE | WEIR_CAP_STREAM_FORMAT |         \
     WEIR_CAP_IDEMPOTENT | WEIR_CAP_NEEDS_TAPE | LOADER_CAP_KEYED)
#define REQUIREMENT_BITS 0xffffffff00000000ull

static weir_status load(plugin_ref *p, const weir_host *host, weir_error *err);
static weir_status check_plugin(plugin_ref *p, weir_error *err);
static const weir_component *find_component(const plugin_ref *p, const note_component *wanted,
                                            weir_component *shadow, weir_error *err);
static bool shadow_table(void *to, uint32_t size, const void *from, uint32_t least);

weir_status loader_bind(registry *r, const component_ref *c, const weir_host *host,
                        const bound_component **out, weir_error *err) {
    plugin_ref *p = c->plugin;
    component_ref *own = &p->components[c - p->components];
    *out = own->bound;
    if (own->bound != NULL && p->host == host) return WEIR_OK;
    *out = NULL;
    weir_status status = load(p, host, err);
    if (status != WEIR_OK) {
        error_prefix(err, "plugin %s", p->path);
        return status;
    }
    bound_component *bound = arena_zalloc(r->memory, sizeof *bound);
    weir_component *component = arena_zalloc(r->memory, sizeof *component);
    if (bound == NULL || component == NULL) {
        return error_set(err, WEIR_E_NOMEM, 0, "no memory to bind %.*s", STR_FMT(c->note->name));
    }
    const weir_component *theirs = find_component(p, c->note, component, err);
    static const uint32_t sizes[LOADER_KIND_MAX + 1] = {
        [WEIR_KIND_SOURCE] = sizeof(weir_source_ops),
        [WEIR_KIND_SINK] = sizeof(weir_sink_ops),
        [WEIR_KIND_SERDE] = sizeof(weir_serde_ops),
        [WEIR_KIND_TRANSFORM] = sizeof(weir_transform_ops),
#ifdef LOADER_KIND_REFERENCE
        [LOADER_KIND_REFERENCE] = sizeof(weir_reference_ops),
#endif
    };
    const char *missing = NULL;
    if (theirs != NULL) {
        if (component->ops == NULL || !shadow_table(&bound->ops, sizes[c->note->kind],
                                                    component->ops, 2 * sizeof(uint32_t))) {
            missing = "ops";
        } else {
            missing = stubs_fill(c->note->kind, bound);
        }
        if (missing != NULL) {
            (void)error_set(err, WEIR_E_INCOMPATIBLE, 0, "lacks the required operation %s",
                            missing);
        }
    }
    if (theirs == NULL || missing != NULL) {
        error_prefix(err, "plugin %s: %s %.*s", p->path, note_kind_name(c->note->kind),
                     STR_FMT(c->note->name));
        return WEIR_E_INCOMPATIBLE;
    }
    bound->note = c->note;
    bound->plugin = p;
    bound->component = component;
    bound->capabilities = component->capabilities;
    bound->has_validate = component->validate != NULL;
    own->bound = bound;
    *out = bound;
    return WEIR_OK;
}

weir_status loader_extension(const void *(*get)(void *, const char *), void *self, const char *name,
                             void *shadow, uint32_t size) {
    memset(shadow, 0, size);
    const void *theirs = get != NULL ? get(self, name) : NULL;
    if (theirs == NULL) return WEIR_E_UNSUPPORTED;
    if (!shadow_table(shadow, size, theirs, sizeof(uint32_t))) return WEIR_E_INCOMPATIBLE;
    return WEIR_OK;
}

void bind_end(registry *r) {
    for (size_t i = 0; i < r->plugin_count; i++) {
        plugin_ref *p = r->plugins[i];
        if (p->loaded && p->table.deinit != NULL) p->table.deinit(p->host);
        p->loaded = false;
    }
}

/* Copies what both sides know of a table that begins with its size; false if it is no table. */
static bool shadow_table(void *to, uint32_t size, const void *from, uint32_t least) {
    uint32_t theirs;
    memcpy(&theirs, from, sizeof theirs);
    if (theirs < least || theirs > TABLE_BYTES_MAX) return false;
    memset(to, 0, size);
    memcpy(to, from, theirs < size ? theirs : size);
    memcpy(to, &size, sizeof size);
    return true;
}

/* The file must still be the one whose note was checked: it may have been replaced meanwhile. */
static bool unchanged(const plugin_ref *p) {
    struct stat st;
    return stat(p->path, &st) == 0 && st.st_dev == p->identity.dev &&
           st.st_ino == p->identity.ino && st.st_size == p->identity.size &&
           st.st_mtim.tv_sec == p->identity.modified.tv_sec &&
           st.st_mtim.tv_nsec == p->identity.modified.tv_nsec;
}

static weir_status load(plugin_ref *p, const weir_host *host, weir_error *err) {
    if (p->loaded && p->host == host) return WEIR_OK;
    if (p->loaded) {
        return error_set(err, WEIR_E_INVALID_STATE, 0, "is in use by another host already");
    }
    if (!unchanged(p)) {
        weir_status status =
            error_set(err, WEIR_E_INVALID_STATE, 0, "changed since its description was read");
        error_hint(err, "start the program again; replace plugins by renaming, not by overwriting");
        return status;
    }
    /* LOCAL: nothing of it is seen by other plugins, so two may bundle two versions of one library.
     * NODELETE and never closed: threads, TLS destructors and string literals outlive any use. */
    void *handle = dlopen(p->path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (handle == NULL) {
        const char *why = dlerror();
        weir_status status = error_set(err, WEIR_E_INCOMPATIBLE, 0, "cannot be loaded: %s",
                                       why != NULL ? why : "the dynamic linker does not say why");
        error_hint(err, "a library it needs may be missing: ldd %s", p->path);
        return status;
    }
    void *symbol = dlsym(handle, WEIR_ENTRY_SYMBOL);
    if (symbol == NULL) {
        return error_set(err, WEIR_E_INCOMPATIBLE, 0, "does not export " WEIR_ENTRY_SYMBOL);
    }
    weir_plugin_entry_fn entry;
    memcpy(&entry, &symbol, sizeof entry); /* ISO C knows no cast from data to function */
    const weir_plugin *theirs = NULL;
    weir_status status = entry(host, &theirs);
    if (status != WEIR_OK) {
        return error_set(err, status == WEIR_E_INCOMPATIBLE ? status : WEIR_E_INTERNAL, 0,
                         "refuses this host (%s): it was built with ABI %.*s, the host has %s",
                         error_status_name(status), STR_FMT(p->note.abi_built_with), WEIR_ABI_TEXT);
    }
    if (theirs == NULL ||
        !shadow_table(&p->table, sizeof p->table, theirs,
                      offsetof(weir_plugin, component_count) + sizeof p->table.component_count)) {
        return error_set(err, WEIR_E_INCOMPATIBLE, 0, "its entry function answers no plugin table");
    }
    status = check_plugin(p, err);
    if (status != WEIR_OK) return status;
    if (p->table.init != NULL) {
        status = p->table.init(host, err);
        if (status != WEIR_OK) {
            error_prefix(err, "init failed (%s)", error_status_name(status));
            return status;
        }
    }
    p->host = host;
    p->loaded = true;
    return WEIR_OK;
}

/* ---- the table against the note ---- */

static weir_status disagree(weir_error *err, const char *what, weir_str note_says,
                            weir_str table_says) {
    return error_set(err, WEIR_E_INCOMPATIBLE, 0,
                     "its note and its table disagree about %s: \"%.*s\" and \"%.*s\"", what,
                     STR_FMT(note_says), STR_FMT(table_says));
}

static weir_status check_plugin(plugin_ref *p, weir_error *err) {
    const note *n = &p->note;
    const weir_plugin *t = &p->table;
    uint32_t built_with = 0;
    (void)version_abi_minor(n->abi_built_with, &built_with); /* checked when the note was read */
    if (!str_eq_z(n->id, t->id != NULL ? t->id : "")) {
        return disagree(err, "the id", n->id, str_of(t->id));
    }
    if (!str_eq_z(n->version, t->version != NULL ? t->version : "")) {
        return disagree(err, "the version", n->version, str_of(t->version));
    }
    if (built_with != t->abi_minor) {
        return error_set(err, WEIR_E_INCOMPATIBLE, 0,
                         "its note and its table disagree about the ABI minor: %u and %u",
                         built_with, t->abi_minor);
    }
    if (n->component_count != t->component_count || t->components == NULL) {
        return error_set(err, WEIR_E_INCOMPATIBLE, 0,
                         "its note and its table disagree about the number of components: %zu and "
                         "%u",
                         n->component_count, t->component_count);
    }
    return WEIR_OK;
}

static const weir_component *find_component(const plugin_ref *p, const note_component *wanted,
                                            weir_component *shadow, weir_error *err) {
    for (uint32_t i = 0; i < p->table.component_count; i++) {
        const weir_component *theirs = p->table.components[i];
        if (theirs == NULL || !shadow_table(shadow, sizeof *shadow, theirs,
                                            offsetof(weir_component, ops) + sizeof shadow->ops)) {
            continue;
        }
        if (shadow->kind != wanted->kind || shadow->name == NULL ||
            !str_eq_z(wanted->name, shadow->name)) {
            continue;
        }
        uint64_t unknown = shadow->capabilities & REQUIREMENT_BITS & ~KNOWN_CAPABILITIES;
        if (unknown != 0) {
            (void)error_set(err, WEIR_E_INCOMPATIBLE, 0,
                            "requires capabilities 0x%" PRIx64 " that this host (ABI %s) does not "
                            "know",
                            unknown, WEIR_ABI_TEXT);
            error_hint(err, "install a newer weir or an older version of the plugin");
            return NULL;
        }
        if ((shadow->capabilities & KNOWN_CAPABILITIES) != wanted->capabilities) {
            (void)error_set(
                err, WEIR_E_INCOMPATIBLE, 0,
                "its note and its table disagree about capabilities: 0x%" PRIx64 " and 0x%" PRIx64,
                wanted->capabilities, (uint64_t)(shadow->capabilities & KNOWN_CAPABILITIES));
            return NULL;
        }
        return theirs;
    }
    (void)error_set(err, WEIR_E_INCOMPATIBLE, 0, "stands in its note but not in its table");
    return NULL;
}
