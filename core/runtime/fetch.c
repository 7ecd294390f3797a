#include "runtime/fetch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/os.h"
#include "base/str.h"
#include "runtime/guarded.h"
#include "runtime/instance.h"
#include "runtime/redact.h"

/* What references may hold of batch memory: answers on their way. */
#define MEMORY_BYTES (256 * MIB)
/* Of a file: certificates, key stores, schemas. */
#define FILE_BYTES_MAX (16 * MIB)
/* Of a file's name what comes from the reference. */
#define STEM_BYTES 64u
/* A plugin keeps its deadline itself; one that does not is cancelled so much later. */
#define GRACE_NS CLOCK_NS_PER_S

/* What a speaker is asked and what it answered: one thing at a time. */
typedef struct question {
    char *text;
    int64_t deadline_ns;
    weir_error *error;
    weir_status status;
    uint32_t kind;
    weir_str bytes; /* the plugin's */
} question;

/* One component with the surroundings that an instance wants. */
typedef struct speaker {
    struct speaker *next;
    fetcher *owner;
    const component_ref *component;
    pipeline pipeline;
    plan plan;
    context cx;
    bool has_context;
    node node;
    options options;
    instance *main;
    question asked; /* the asking thread's as well, which may never come back */
    bool hangs;     /* it did not come back: never touched again, nothing in here is freed */
} speaker;

struct fetcher {
    fetch_config config;
    speaker *first;
    size_t failed, may_pass;
    unsigned files;
    bool interrupted;
};

bool failure_is_lasting(weir_status status, uint32_t flags) {
    if ((flags & WEIR_ERR_CONFIG) != 0) return true;
    switch (status) {
    case WEIR_E_AUTH:
    case WEIR_E_PERMISSION:
    case WEIR_E_NOT_FOUND:
    case WEIR_E_EXISTS:
    case WEIR_E_INVALID_ARG:
    case WEIR_E_UNSUPPORTED:
    case WEIR_E_INCOMPATIBLE:
    case WEIR_E_DATA:
        return true;
    default:
        return false;
    }
}

fetcher *fetcher_new(const fetch_config *config) {
    fetcher *f = calloc(1, sizeof *f);
    if (f != NULL) f->config = *config;
    return f;
}

size_t fetcher_failed(const fetcher *f) {
    return f->failed;
}

size_t fetcher_may_pass(const fetcher *f) {
    return f->may_pass;
}

bool fetcher_interrupted(const fetcher *f) {
    return f->interrupted;
}

/* ---- instances ---- */

static void no_room(void *opaque) {
    (void)opaque;
}

static void silence(speaker *s) {
    if (s->hangs || s->main == NULL) return;
    instance_close(s->main, WEIR_CLOSE_ABANDON, clock_mono_ns(&clock_system) + CLOCK_NS_PER_S,
                   NULL);
    instance_free(s->main);
    s->main = NULL;
}

static void speaker_free(speaker *s) {
    if (s->hangs) return; /* a thread is still in it */
    silence(s);
    if (s->has_context) context_destroy(&s->cx);
    free(s);
}

void fetcher_free(fetcher *f) {
    if (f == NULL) return;
    for (speaker *s = f->first, *next; s != NULL; s = next) {
        next = s->next;
        speaker_free(s);
    }
    free(f);
}

static speaker *speaker_of(fetcher *f, const component_ref *component, weir_error *err) {
    for (speaker *s = f->first; s != NULL; s = s->next) {
        if (s->component == component) return s;
    }
    speaker *s = calloc(1, sizeof *s);
    if (s == NULL) {
        error_set(err, WEIR_E_NOMEM, 0, "out of memory");
        return NULL;
    }
    s->owner = f;
    s->component = component;
    s->pipeline = (pipeline){.name = STR(""), .base_dir = STR("/")};
    s->pipeline.settings.memory_bytes = MEMORY_BYTES;
    s->pipeline.settings.max_parallelism = 1;
    s->plan.pipeline = &s->pipeline;
    s->node = (node){.name = STR("reference"),
                     .type = component_note(component)->name,
                     .kind = WEIR_KIND_REFERENCE,
                     .parallelism = 1,
                     .retry = {.attempts = UINT64_MAX,
                               .base_ns = 300 * CLOCK_NS_PER_MS,
                               .max_ns = 20 * CLOCK_NS_PER_S,
                               .timeout_ns = 60 * CLOCK_NS_PER_S,
                               .jitter = true}};
    s->has_context = true;
    if (context_init(&s->cx, &s->plan, f->config.plugins, true, no_room, NULL, err) != WEIR_OK) {
        speaker_free(s);
        return NULL;
    }
    s->next = f->first;
    f->first = s;
    return s;
}

/* ---- one reference ---- */

static void ask(void *opaque) {
    speaker *s = opaque;
    question *q = &s->asked;
    instance *i = s->main;
    q->status = WEIR_OK;
    if (!i->opened) {
        weir_open args = {.deadline_ns = q->deadline_ns};
        q->status = instance_open(i, WEIR_ROLE_CONTROL, &args, q->error);
    }
    if (q->status != WEIR_OK) return;
    weir_resolve args = {.struct_size = sizeof args,
                         .text = str_of(q->text),
                         .deadline_ns = q->deadline_ns,
                         .error = q->error};
    q->status = i->bound->ops.reference.resolve(i->self, &args);
    q->kind = args.kind;
    q->bytes = args.bytes;
}

static void stop_asking(void *opaque) {
    speaker *s = opaque;
    instance_cancel(s->main);
}

static void question_end(question *q) {
    error_free(q->error);
    free(q->text);
    *q = (question){0};
}

static bool question_begin(question *q, weir_str text, int64_t timeout_ns) {
    *q = (question){.text = strndup(text.ptr, text.len),
                    .deadline_ns = clock_mono_ns(&clock_system) + timeout_ns,
                    .error = error_new()};
    if (q->text != NULL && q->error != NULL) return true;
    question_end(q);
    return false;
}

static weir_status write_all(int fd, weir_str bytes) {
    for (uint64_t at = 0; at < bytes.len;) {
        ssize_t n = write(fd, bytes.ptr + at, bytes.len - at);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return WEIR_E_IO;
        at += (uint64_t)n;
    }
    return WEIR_OK;
}

/* A name that keeps what the reference's text ends with: programs look at suffixes. */
static void file_name(unsigned number, const char *text, char *out, size_t size) {
    const char *slash = strrchr(text, '/');
    const char *stem = slash != NULL ? slash + 1 : text;
    size_t len = strlen(stem);
    if (len > STEM_BYTES) stem += len - STEM_BYTES;
    int n = snprintf(out, size, "%u-%s", number, stem);
    for (int i = 0; i < n && (size_t)i < size - 1; i++) {
        char c = out[i];
        bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '-' || c == '_' || c == '.';
        if (!good) out[i] = '_';
    }
}

static weir_status write_file(fetcher *f, const char *text, weir_str bytes, buf *out,
                              weir_error *err) {
    char name[STEM_BYTES + 16], why[128];
    if (bytes.len > FILE_BYTES_MAX) {
        return error_set(err, WEIR_E_TOO_LARGE, WEIR_ERR_CONFIG,
                         "it has %llu bytes, a file may have %llu", (unsigned long long)bytes.len,
                         (unsigned long long)FILE_BYTES_MAX);
    }
    if (mkdir(f->config.folder, 0700) != 0 && errno != EEXIST) {
        return error_set(err, WEIR_E_IO, 0, "cannot make the folder %s: %s", f->config.folder,
                         os_strerror(errno, why, sizeof why));
    }
    file_name(++f->files, text, name, sizeof name);
    buf_printf(out, "%s/%s", f->config.folder, name);
    if (!buf_ok(out)) return WEIR_OK; /* whoever gave the buffer looks */
    int fd = open(out->data, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    int code = errno;
    weir_status status = fd < 0 ? WEIR_E_IO : write_all(fd, bytes);
    if (fd >= 0 && status != WEIR_OK) code = errno;
    if (fd >= 0 && close(fd) != 0 && status == WEIR_OK) {
        status = WEIR_E_IO;
        code = errno;
    }
    if (status == WEIR_OK) return WEIR_OK;
    return error_set(err, status, 0, "cannot write %s: %s", out->data,
                     os_strerror(code, why, sizeof why));
}

/* Whatever plugins say from now on, this is not in it. */
static bool keep_secret(const speaker *s) {
    buf shown;
    buf_init(&shown, LIMIT_REFERENCE_NAME_BYTES + LIMIT_NAME_BYTES + 8);
    buf_printf(&shown, "${%.*s:%s}", STR_FMT(component_note(s->component)->name), s->asked.text);
    bool kept = buf_ok(&shown) && redact_add(s->asked.bytes, buf_str(&shown));
    buf_free(&shown);
    return kept;
}

static weir_status take(fetcher *f, const speaker *s, buf *out, weir_error *err) {
    const question *q = &s->asked;
    if (q->status != WEIR_OK) {
        weir_status status = q->status < 0 ? q->status : WEIR_E_INTERNAL;
        error_copy(err, q->error);
        if (!error_is_empty(err)) return status;
        return error_set(err, status, 0, "its plugin answers %s without a word",
                         error_status_name(q->status));
    }
    if (q->bytes.len > 0 && q->bytes.ptr == NULL) {
        return error_set(err, WEIR_E_INTERNAL, 0, "its plugin answers bytes that are nowhere");
    }
    switch (q->kind) {
    case WEIR_RESOLVED_VALUE:
        buf_append_str(out, q->bytes);
        return keep_secret(s) ? WEIR_OK : error_set(err, WEIR_E_NOMEM, 0, "out of memory");
    case WEIR_RESOLVED_FILE:
        return write_file(f, q->text, q->bytes, out, err);
    default:
        return error_set(err, WEIR_E_INTERNAL, 0, "its plugin answers neither a value nor a file");
    }
}

static weir_status fetch_one(fetcher *f, speaker *s, buf *out, weir_error *err) {
    if (s->main == NULL) {
        s->main = instance_new(&s->cx, s->cx.home, s->component, &s->node, &s->options, NULL, 0, 1,
                               NULL, err);
        if (s->main == NULL) return error_status(err);
    }
    const guarded_call call = {.call = ask,
                               .cancel = stop_asking,
                               .opaque = s,
                               .deadline_ns = s->asked.deadline_ns + GRACE_NS,
                               .interrupted = f->config.interrupted,
                               .interrupted_opaque = f->config.opaque,
                               .thread_begins = f->config.thread_begins,
                               .thread_ends = f->config.thread_ends,
                               .name = "reference"};
    weir_status status;
    switch (guarded_run(&call)) {
    case GUARDED_DONE:
        return take(f, s, out, err);
    case GUARDED_INTERRUPTED:
        f->interrupted = true;
        silence(s);
        return error_set(err, WEIR_E_CANCELLED, 0, "nobody waits for it any more");
    case GUARDED_LATE:
        silence(s); /* cancelled for good: the next one gets a new instance */
        return error_set(err, WEIR_E_TIMEOUT, 0, "no answer within %lld s",
                         (long long)(f->config.timeout_ns / CLOCK_NS_PER_S));
    case GUARDED_LOST:
        s->hangs = true;
        return error_set(err, WEIR_E_TIMEOUT, 0,
                         "its plugin does not come back, not even when it is cancelled");
    default:
        status = error_set(err, WEIR_E_IO, 0, "cannot start a thread");
        error_hint(err, "raise the limit of processes (ulimit -u)");
        return status;
    }
}

weir_status fetcher_fetch(void *self, const component_ref *reference, weir_str text, buf *out,
                          weir_error *err) {
    fetcher *f = self;
    weir_status status = WEIR_OK;
    speaker *s = speaker_of(f, reference, err);
    bool unwanted = f->config.interrupted != NULL && f->config.interrupted(f->config.opaque);
    f->interrupted = f->interrupted || unwanted;
    if (s == NULL) {
        status = error_status(err);
    } else if (f->interrupted) {
        status = error_set(err, WEIR_E_CANCELLED, 0, "nobody waits for it any more");
    } else if (s->hangs) {
        status = error_set(err, WEIR_E_TIMEOUT, 0, "its plugin hangs");
    } else if (!question_begin(&s->asked, text, f->config.timeout_ns)) {
        status = error_set(err, WEIR_E_NOMEM, 0, "out of memory");
    } else {
        status = fetch_one(f, s, out, err);
        if (!s->hangs) question_end(&s->asked);
    }
    if (status != WEIR_OK) {
        f->failed++;
        if (!failure_is_lasting(status, error_flags(err))) f->may_pass++;
    }
    return status;
}

/* ---- folders ---- */

void fetch_remove_folder(const char *folder) {
    char why[128];
    int fd = folder != NULL ? open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
    if (fd < 0) return;
    DIR *dir = fdopendir(fd);
    if (dir == NULL) {
        close(fd);
        return;
    }
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        (void)unlinkat(dirfd(dir), e->d_name, 0);
    }
    closedir(dir);
    if (rmdir(folder) != 0 && errno != ENOENT) {
        log_write(WEIR_LOG_WARN, NULL, "cannot remove %s, which may hold secrets: %s", folder,
                  os_strerror(errno, why, sizeof why));
    }
}

void fetch_remove_folders(const char *parent, const char *prefix) {
    DIR *dir = opendir(parent);
    if (dir == NULL) return;
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        char path[4096];
        if (strncmp(e->d_name, prefix, strlen(prefix)) != 0) continue;
        if (snprintf(path, sizeof path, "%s/%s", parent, e->d_name) < (int)sizeof path) {
            fetch_remove_folder(path);
        }
    }
    closedir(dir);
}
