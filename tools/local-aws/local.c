#include "local.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "admin/faults.h"
#include "aws/verify.h"
#include "base/mem.h"
#include "base/str.h"
#include "services.h"

#define SERVICES_MAX 32u
#define STATE_PATH_BYTES 4096u

struct local {
    local_options options;
    server *server;
    struct faults *faults;
    struct stats *stats;
    struct credentials *credentials;
    local_service services[SERVICES_MAX];
    uint32_t service_count;
    uint64_t random;
    int lock; /* of the folder; -1: none */
};

static void route(void *opaque, exchange *x) {
    local *home = opaque;
    for (uint32_t i = 0; i < home->service_count; i++) {
        local_service *s = &home->services[i];
        if (!s->claims(s->state, x)) continue;
        s->serve(s->state, x);
        return;
    }
    static const char text[] = "no service of this endpoint claims the request\n";
    exchange_status(x, 404);
    exchange_header(x, "content-type", STR("text/plain"));
    exchange_copy(x, text, sizeof text - 1);
    exchange_send(x);
}

/* ---- the folder ---- */

/* Two processes with one folder would each write over what the other kept. The file stays when the
 * lock goes, since whoever removed it could remove the next one's. */
static bool lock_dir(local *home, char *error, size_t error_size) {
    char path[STATE_PATH_BYTES], pid[24] = "";
    const char *dir = home->options.dir;
    if (!dir) return true;
    int n = snprintf(path, sizeof path, "%s/lock", dir);
    if (n > 0 && (size_t)n < sizeof path)
        home->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    else
        errno = ENAMETOOLONG;
    if (home->lock >= 0 && flock(home->lock, LOCK_EX | LOCK_NB) == 0) {
        n = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
        if (ftruncate(home->lock, 0) == 0 && pwrite(home->lock, pid, (size_t)n, 0) == n)
            return true;
    } else if (home->lock >= 0 && errno == EWOULDBLOCK) {
        ssize_t len = pread(home->lock, pid, sizeof pid - 1, 0);
        pid[len > 0 ? len : 0] = 0;
        pid[strspn(pid, "0123456789")] = 0;
        snprintf(error, error_size, "%s is in use by %s%s; give each its own folder", dir,
                 pid[0] ? "pid " : "another process", pid);
        return false;
    }
    snprintf(error, error_size, "cannot lock '%s': %s", path, strerror(errno));
    return false;
}

/* DIR/NAME.state; false if that is too long. */
static bool state_path(const local *home, const local_service *s, char out[STATE_PATH_BYTES]) {
    int n = snprintf(out, STATE_PATH_BYTES, "%s/%s.state", home->options.dir, s->name);
    return n > 0 && (size_t)n < STATE_PATH_BYTES;
}

static bool load_state(local *home, const local_service *s, char *error, size_t error_size) {
    char path[STATE_PATH_BYTES];
    if (!home->options.dir || !s->load) return true;
    bool named = state_path(home, s, path);
    if (named) keep_discard(path); /* of a process that was killed while it wrote */
    keep *k = named ? keep_open(path, s->name) : NULL;
    if (!k && errno == ENOENT) return true;
    bool ok = k && s->load(s->own, k);
    if (k && !keep_close(k)) ok = false;
    if (!ok)
        snprintf(
            error, error_size,
            "cannot read the state of %s from '%s': %s; move the file away to begin without it",
            s->name, path, errno == EINVAL || errno == 0 ? "it is damaged" : strerror(errno));
    return ok;
}

static bool write_state(local *home, const local_service *s, char path[STATE_PATH_BYTES]) {
    keep *k = state_path(home, s, path) ? keep_create(path, s->name) : NULL;
    bool ok = k && s->save(s->own, k);
    if (k && !keep_close(k)) ok = false;
    return ok;
}

static void discard_states(local *home) {
    char path[STATE_PATH_BYTES];
    for (uint32_t i = 0; i < home->service_count; i++)
        if (home->services[i].save && state_path(home, &home->services[i], path))
            keep_discard(path);
}

/* All are written before the first takes its place: services refer to each other, and a disk that
 * is full leaves the folder as it was. */
bool local_save(local *home, char *error, size_t error_size) {
    const char *dir = home->options.dir;
    char path[STATE_PATH_BYTES] = "";
    bool ok = true;
    for (uint32_t pass = 0; dir && pass < 2; pass++) {
        for (uint32_t i = 0; ok && i < home->service_count; i++) {
            const local_service *s = &home->services[i];
            if (!s->save) continue;
            ok = pass == 0 ? write_state(home, s, path)
                           : state_path(home, s, path) && keep_publish(path);
            if (!ok)
                snprintf(error, error_size, "cannot write the state of %s to '%s': %s", s->name,
                         path, strerror(errno));
        }
    }
    if (ok && dir && !keep_sync_folder(dir)) {
        snprintf(error, error_size, "cannot write to '%s': %s", dir, strerror(errno));
        ok = false;
    }
    if (!ok) discard_states(home);
    return ok;
}

static bool add_services(local *home, char *error, size_t error_size) {
    static bool (*const constructors[])(local *, local_service *) = {
#define SERVICE(name) name##_service,
        SERVICE(admin)
#include "services.def"
#undef SERVICE
    };
    for (size_t i = 0; i < sizeof constructors / sizeof constructors[0]; i++) {
        local_service *s = &home->services[home->service_count];
        if (!constructors[i](home, s)) {
            snprintf(error, error_size, "out of memory");
            return false;
        }
        home->service_count++;
        if (!load_state(home, s, error, error_size)) return false;
    }
    return true;
}

/* False with errno EINVAL: an option is malformed. The first note, if any, is left in `error`. */
static bool set_up(local *home, char *error, size_t error_size) {
    for (uint32_t i = 0; i < home->service_count; i++) {
        const local_service *s = &home->services[i];
        char text[1024] = "";
        bool ok = !s->setup || s->setup(s->own, &home->options.setup, text, sizeof text);
        if (ok && (error[0] || !text[0])) continue;
        snprintf(error, error_size, "%s", ok || text[0] ? text : "out of memory");
        if (ok) continue;
        errno = text[0] ? EINVAL : 0;
        return false;
    }
    return true;
}

local *local_new(const local_options *options, char *error, size_t error_size) {
    int malformed = 0;
    error[0] = 0;
    errno = 0;
    local *home = mem_zalloc(sizeof *home);
    if (!home) {
        snprintf(error, error_size, "out of memory");
        return NULL;
    }
    home->options = *options;
    home->lock = -1;
    local_options *o = &home->options;
    if (!o->access_key) o->access_key = "local";
    if (!o->secret_key) o->secret_key = "local-secret";
    if (!o->region) o->region = "us-east-1";
    if (!o->account) o->account = "000000000000";
    o->server.handler = route;
    o->server.opaque = home;
    home->random = o->seed;
    if (!lock_dir(home, error, error_size)) goto fail;
    home->server = server_new(&o->server, error, error_size);
    home->faults = faults_new(home);
    home->stats = stats_new();
    home->credentials = credentials_new();
    if (!home->server) goto fail;
    if (!home->faults || !home->stats || !home->credentials ||
        !credentials_add(home->credentials, str_of(o->access_key), str_of(o->secret_key), STR(""),
                         INT64_MAX)) {
        snprintf(error, error_size, "out of memory");
        goto fail;
    }
    if (!add_services(home, error, error_size)) goto fail;
    if (set_up(home, error, error_size)) return home;
    malformed = errno;
fail:
    local_free(home);
    errno = malformed;
    return NULL;
}

void local_free(local *home) {
    if (!home) return;
    /* Open exchanges are told first: services may still look at their own state. Their timers are
     * freed with that state, so the server goes last. */
    if (home->server) server_close_all(home->server);
    for (uint32_t i = home->service_count; i-- > 0;)
        if (home->services[i].free) home->services[i].free(home->services[i].state);
    server_free(home->server);
    faults_free(home->faults);
    stats_free(home->stats);
    credentials_free(home->credentials);
    if (home->lock >= 0) close(home->lock);
    mem_free(home);
}

server *local_server(local *home) {
    return home->server;
}

const local_options *local_settings(const local *home) {
    return &home->options;
}

struct faults *local_faults(local *home) {
    return home->faults;
}

struct stats *local_stats(local *home) {
    return home->stats;
}

struct credentials *local_credentials(local *home) {
    return home->credentials;
}

const local_service *local_service_at(const local *home, uint32_t index) {
    return index < home->service_count ? &home->services[index] : NULL;
}

const local_service *local_service_named(const local *home, const char *name) {
    for (uint32_t i = 0; i < home->service_count; i++)
        if (str_eq_z(str_of(name), home->services[i].name)) return &home->services[i];
    return NULL;
}

void *local_service_state(local *home, const char *name) {
    const local_service *s = local_service_named(home, name);
    return s ? s->own : NULL;
}

/* SplitMix64. */
uint64_t local_random(local *home) {
    uint64_t z = home->random += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

void local_uuid(local *home, char out[37]) {
    uint64_t a = local_random(home), b = local_random(home);
    snprintf(out, 37, "%08x-%04x-4%03x-%04x-%012llx", (unsigned)(a >> 32),
             (unsigned)(a >> 16) & 0xffffu, (unsigned)a & 0xfffu,
             0x8000u | ((unsigned)(b >> 48) & 0x3fffu),
             (unsigned long long)(b & UINT64_C(0xffffffffffff)));
}
