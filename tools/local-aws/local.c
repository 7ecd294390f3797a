#include "local.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

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

/* DIR/NAME.state; false if that is too long. */
static bool state_path(const local *home, const local_service *s, char out[STATE_PATH_BYTES]) {
    int n = snprintf(out, STATE_PATH_BYTES, "%s/%s.state", home->options.dir, s->name);
    return n > 0 && (size_t)n < STATE_PATH_BYTES;
}

static bool load_state(local *home, const local_service *s, char *error, size_t error_size) {
    char path[STATE_PATH_BYTES];
    if (!home->options.dir || !s->load) return true;
    keep *k = state_path(home, s, path) ? keep_open(path, s->name) : NULL;
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

bool local_save(local *home, char *error, size_t error_size) {
    for (uint32_t i = 0; home->options.dir && i < home->service_count; i++) {
        const local_service *s = &home->services[i];
        char path[STATE_PATH_BYTES];
        if (!s->save) continue;
        keep *k = state_path(home, s, path) ? keep_create(path, s->name) : NULL;
        bool ok = k && s->save(s->own, k);
        if (k && !keep_close(k)) ok = false;
        if (!ok) {
            snprintf(error, error_size, "cannot write the state of %s to '%s': %s", s->name, path,
                     strerror(errno));
            return false;
        }
    }
    return true;
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
        if (s->setup && !s->setup(s->own, &home->options.setup)) {
            snprintf(error, error_size,
                     "%s cannot be set up: out of memory, or its options are malformed "
                     "(NAME:SHARDS, NAME, NAME=BUCKET/PREFIX)",
                     s->name);
            return false;
        }
    }
    return true;
}

local *local_new(const local_options *options, char *error, size_t error_size) {
    local *home = mem_zalloc(sizeof *home);
    if (!home) {
        snprintf(error, error_size, "out of memory");
        return NULL;
    }
    home->options = *options;
    local_options *o = &home->options;
    if (!o->access_key) o->access_key = "local";
    if (!o->secret_key) o->secret_key = "local-secret";
    if (!o->region) o->region = "us-east-1";
    if (!o->account) o->account = "000000000000";
    o->server.handler = route;
    o->server.opaque = home;
    home->random = o->seed;
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
    return home;
fail:
    local_free(home);
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
