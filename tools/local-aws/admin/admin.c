/*
 * /_weir/: how tests look in and interfere. JSON over plain requests, unsigned.
 */
#include <inttypes.h>
#include <stdio.h>

#include "admin/faults.h"
#include "base/mem.h"
#include "base/str.h"
#include "services.h"
#include "weir/json.h"

static bool claims(void *state, const exchange *x) {
    (void)state;
    return str_starts(exchange_request(x)->path, STR("/_weir/"));
}

static void reply(exchange *x, unsigned status, const buf *text) {
    exchange_status(x, status);
    exchange_header(x, "content-type", STR("application/json"));
    exchange_copy(x, text->data, text->len);
    exchange_send(x);
}

static void reply_error(exchange *x, unsigned status, const char *text) {
    buf b;
    buf_init(&b, 8192);
    buf_append_z(&b, "{\"error\":");
    buf_append_json(&b, str_of(text));
    buf_append_char(&b, '}');
    reply(x, status, &b);
    buf_free(&b);
}

static void clock_reply(local *home, exchange *x) {
    buf b;
    buf_init(&b, 8192);
    buf_printf(&b, "{\"now_ms\":%" PRId64 ",\"told_ms\":%" PRId64 "}",
               server_now_ms(local_server(home)), server_told_ms(local_server(home)));
    reply(x, 200, &b);
    buf_free(&b);
}

static void set_clock(local *home, exchange *x, const weir_value *in) {
    const weir_value *advance = weir_json_get(in, "advance_ms"),
                     *skew = weir_json_get(in, "skew_ms");
    if ((advance && (advance->type != WEIR_V_I64 || advance->as.i64 < 0)) ||
        (skew && skew->type != WEIR_V_I64) || (!advance && !skew)) {
        reply_error(x, 400, "expected {\"advance_ms\": N >= 0} or {\"skew_ms\": N}");
        return;
    }
    if (advance) server_advance(local_server(home), advance->as.i64);
    if (skew) server_set_skew(local_server(home), skew->as.i64);
    clock_reply(home, x);
}

static void set_faults(local *home, exchange *x, const weir_value *in) {
    char error[256];
    if (!faults_read(local_faults(home), in, error, sizeof error)) {
        reply_error(x, 400, error);
        return;
    }
    buf b;
    buf_init(&b, (size_t)16 << 20);
    faults_write(local_faults(home), &b);
    reply(x, 200, &b);
    buf_free(&b);
}

static void show(local *home, exchange *x, bool faults) {
    buf b;
    buf_init(&b, (size_t)16 << 20);
    if (faults)
        faults_write(local_faults(home), &b);
    else
        stats_write(local_stats(home), &b);
    reply(x, 200, &b);
    buf_free(&b);
}

/* False: the path names no service with settings. */
static bool to_service(local *home, exchange *x, const weir_value *in) {
    weir_str path = exchange_request(x)->path;
    char name[64];
    size_t n = (size_t)path.len - 7;
    if (n >= sizeof name) return false;
    memcpy(name, path.ptr + 7, n);
    name[n] = 0;
    const local_service *s = local_service_named(home, name);
    if (!s || !s->admin) return false;
    buf b;
    buf_init(&b, (size_t)1 << 20);
    if (s->admin(s->own, in, &b))
        reply(x, 200, &b);
    else
        reply_error(x, 400, b.data ? b.data : "out of memory");
    buf_free(&b);
    return true;
}

static void serve(void *state, exchange *x) {
    local *home = state;
    const server_request *r = exchange_request(x);
    bool get = str_eq_z(r->method, "GET"), post = str_eq_z(r->method, "POST"),
         erase = str_eq_z(r->method, "DELETE");
    bool faults = str_eq_z(r->path, "/_weir/faults"), stats = str_eq_z(r->path, "/_weir/stats"),
         clock = str_eq_z(r->path, "/_weir/clock");
    weir_json_fault fault = {0};
    weir_json_doc *doc = post ? weir_json_read(r->body, WEIR_JSON_UNIQUE_KEYS, &fault) : NULL;
    if (!faults && !stats && !clock && post && doc && to_service(home, x, weir_json_root(doc))) {
        ;
    } else if (!faults && !stats && !clock) {
        reply_error(
            x, 404,
            "expected /_weir/faults, /_weir/stats, /_weir/clock, or POST to a service's settings");
    } else if (post && !doc) {
        reply_error(x, 400, fault.text ? fault.text : "out of memory");
    } else if (post && faults) {
        set_faults(home, x, weir_json_root(doc));
    } else if (post && clock) {
        set_clock(home, x, weir_json_root(doc));
    } else if (get && clock) {
        clock_reply(home, x);
    } else if (erase && !clock) {
        if (faults)
            faults_clear(local_faults(home));
        else
            stats_reset(local_stats(home));
        show(home, x, faults);
    } else if (get) {
        show(home, x, faults);
    } else {
        reply_error(x, 405, "expected GET, or POST and DELETE where there is something to set");
    }
    weir_json_free(doc);
}

bool admin_service(local *home, local_service *out) {
    *out = (local_service){
        .name = "admin", .claims = claims, .serve = serve, .state = home, .own = home};
    return true;
}
