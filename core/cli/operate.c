#include "cli/operate.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/os.h"
#include "base/str.h"
#include "supervise/control.h"
#include "supervise/link.h"

/* Folders looked at under the state root. */
#define PIPELINES_MAX 10000u
#define NEVER_NS (INT64_MAX / 2)

static bool is_pipeline(arena *memory, const char *root, const char *name);

bool operation_begin(operation *o, const char *command_name) {
    *o = (operation){.command = command_name, .memory = arena_new(256 * MIB), .err = error_new()};
    if (o->memory != NULL && o->err != NULL) return true;
    fprintf(stderr, "weir %s: out of memory\n", command_name);
    operation_end(o);
    return false;
}

void operation_end(operation *o) {
    arena_free(o->memory);
    error_free(o->err);
}

int operation_failed(operation *o) {
    buf text;
    buf_init(&text, 65536);
    error_format(o->err, &text);
    fprintf(stderr, "weir %s: %.*s\n", o->command, STR_FMT(buf_str(&text)));
    buf_free(&text);
    return EXIT_FAILED;
}

bool operation_deadline(const arg *timeout, const char *command_name, int64_t *deadline_ns) {
    int64_t ns = 0;
    *deadline_ns = NEVER_NS;
    if (!timeout->set) return true;
    if (!str_to_duration_ns(str_of(timeout->value), &ns) || ns <= 0) {
        usage_error(command_name, "--timeout wants a duration such as 30s or 5m, not '%s'",
                    timeout->value);
        return false;
    }
    int64_t now = clock_mono_ns(&clock_system);
    if (ns < NEVER_NS - now) *deadline_ns = now + ns;
    return true;
}

bool operation_name(const char *command_name, const char *word, weir_str *name) {
    *name = str_of(word);
    bool good = word[0] != '\0' && word[0] != '.' && strchr(word, '/') == NULL;
    if (good) return true;
    usage_error(command_name, "'%s' is no pipeline's name: say the `name` of its manifest", word);
    return false;
}

/* ---- asking ---- */

void request_begin(buf *request, const char *what) {
    buf_init(request, CONTROL_REQUEST_MAX);
    buf_printf(request, "{\"do\":\"%s\"", what);
}

weir_json_doc *operation_ask(operation *o, weir_str name, weir_str request, int64_t deadline_ns,
                             buf *raw) {
    buf own;
    buf_init(&own, LINK_ANSWER_MAX + 64);
    buf *out = raw != NULL ? raw : &own;
    weir_json_doc *doc = NULL;
    error_clear(o->err);
    const char *folder = state_folder(o->memory, name, o->err);
    weir_status status = folder != NULL ? control_call(folder, request, deadline_ns, out, o->err)
                                        : error_status(o->err);
    if (status == WEIR_OK) {
        doc = weir_json_read(buf_str(out), 0, NULL);
        const weir_value *root = doc != NULL ? weir_json_root(doc) : NULL;
        weir_str refusal = root != NULL ? weir_json_get_str(root, "error", "") : STR("");
        if (root == NULL || root->type != WEIR_V_OBJECT) {
            error_set(o->err, WEIR_E_DATA, 0, "%.*s gave an answer that makes no sense",
                      STR_FMT(name));
        } else if (refusal.len > 0) {
            error_set(o->err, WEIR_E_INVALID_STATE, WEIR_ERR_FATAL, "%.*s: %.*s", STR_FMT(name),
                      STR_FMT(refusal));
        } else {
            buf_free(&own);
            return doc;
        }
        weir_json_free(doc);
    }
    buf_free(&own);
    return NULL;
}

/* ---- state folders ---- */

static int by_name(const void *a, const void *b) {
    return str_cmp(*(const weir_str *)a, *(const weir_str *)b);
}

weir_status operation_pipelines(operation *o, weir_str **names, size_t *count) {
    *count = 0;
    *names = arena_array(o->memory, PIPELINES_MAX, sizeof **names);
    const char *root = state_root(o->memory, o->err);
    if (root == NULL) return error_status(o->err);
    if (*names == NULL) return error_set(o->err, WEIR_E_NOMEM, 0, "out of memory");
    DIR *dir = opendir(root);
    if (dir == NULL && errno == ENOENT) return WEIR_OK;
    if (dir == NULL) {
        int code = errno;
        char text[128];
        error_set(o->err, code == EACCES ? WEIR_E_PERMISSION : WEIR_E_IO, 0,
                  "cannot look into the state folder %s: %s", root,
                  os_strerror(code, text, sizeof text));
        error_hint(o->err, "WEIR_STATE says where to look");
        return error_status(o->err);
    }
    for (struct dirent *e; (e = readdir(dir)) != NULL && *count < PIPELINES_MAX;) {
        if (e->d_name[0] == '.' || !is_pipeline(o->memory, root, e->d_name)) continue;
        (*names)[*count] = arena_str(o->memory, str_of(e->d_name));
        if ((*names)[*count].ptr != NULL) ++*count;
    }
    closedir(dir);
    qsort(*names, *count, sizeof **names, by_name);
    return WEIR_OK;
}

/* A folder that a run of weir made; or one that may not be looked into. */
static bool is_pipeline(arena *memory, const char *root, const char *name) {
    static const char *const marks[] = {"control.lock", "lock", "checkpoints", "savepoints"};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        const char *path = arena_printf(memory, "%s/%s/%s", root, name, marks[i]);
        struct stat st;
        if (path == NULL) return false;
        if (lstat(path, &st) == 0 || errno == EACCES) return true;
    }
    return false;
}

bool operation_known(operation *o, weir_str name) {
    weir_str *names;
    size_t count;
    if (operation_pipelines(o, &names, &count) != WEIR_OK) return false;
    for (size_t i = 0; i < count; i++)
        if (str_eq(names[i], name)) return true;
    const char *root = state_root(o->memory, o->err);
    error_set(o->err, WEIR_E_NOT_FOUND, 0, "there is no pipeline %.*s under %s", STR_FMT(name),
              root != NULL ? root : "?");
    int near = str_nearest(name, names, count);
    if (near >= 0) {
        error_hint(o->err, "did you mean %.*s?", STR_FMT(names[near]));
    } else if (count > 0) {
        error_hint(o->err, "`weir status` lists those there are");
    } else {
        error_hint(o->err, "WEIR_STATE says where to look");
    }
    return false;
}

store *operation_store(operation *o, weir_str name) {
    error_clear(o->err);
    store_config config = {.disk = &disk_system, .pipeline = name, .retain = 1};
    config.folder = state_folder(o->memory, name, o->err);
    if (config.folder == NULL) return NULL;
    struct stat st;
    if (lstat(config.folder, &st) == 0 && access(config.folder, R_OK | X_OK) != 0) {
        error_set(o->err, WEIR_E_PERMISSION, 0, "%s belongs to user %u, and this is user %u",
                  config.folder, (unsigned)st.st_uid, (unsigned)geteuid());
        error_hint(o->err, "ask as that user, or as root");
        return NULL;
    }
    if (state_read_place(o->memory, config.folder, &config.place, o->err) != WEIR_OK) return NULL;
    return store_open(&config, true, o->err);
}

/* ---- texts ---- */

const char *human_duration(int64_t ms, char out[32]) {
    int64_t s = ms / 1000;
    if (ms < 0) {
        snprintf(out, 32, "-");
    } else if (ms < 1000) {
        snprintf(out, 32, "%" PRId64 " ms", ms);
    } else if (s < 60) {
        snprintf(out, 32, "%" PRId64 ".%" PRId64 " s", s, ms % 1000 / 100);
    } else if (s < 3600) {
        snprintf(out, 32, "%" PRId64 "m %" PRId64 "s", s / 60, s % 60);
    } else if (s < 86400) {
        snprintf(out, 32, "%" PRId64 "h %" PRId64 "m", s / 3600, s / 60 % 60);
    } else {
        snprintf(out, 32, "%" PRId64 "d %" PRId64 "h", s / 86400, s / 3600 % 24);
    }
    return out;
}

const char *human_age(int64_t us, char out[32]) {
    int64_t ms = (clock_wall_us(&clock_system) - us) / 1000;
    return human_duration(us <= 0 ? -1 : ms < 0 ? 0 : ms, out);
}

const char *time_text(int64_t us, char out[32]) {
    time_t seconds = (time_t)(us / 1000000);
    struct tm tm;
    if (us <= 0 || gmtime_r(&seconds, &tm) == NULL ||
        strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0) {
        snprintf(out, 32, "-");
    }
    return out;
}

const char *checkpoint_kind_name(checkpoint_kind kind) {
    static const char *const names[] = {"?", "periodic", "restore", "savepoint", "final"};
    return kind <= CHECKPOINT_FINAL ? names[kind] : names[0];
}
