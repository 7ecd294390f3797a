/*
 * /_weir/: how tests look in and interfere. JSON over plain requests, unsigned.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "admin/faults.h"
#include "admin/journal.h"
#include "admin/rules.h"
#include "base/mem.h"
#include "base/str.h"
#include "services.h"
#include "weir/json.h"

#define OUT_MAX ((size_t)16 << 20)
#define JOURNAL_MAX ((size_t)1 << 30)

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
    static const rules_member members[] = {
        {"advance_ms", 'i', 0, SERVER_CLOCK_MAX_MS},
        {"skew_ms", 'i', -SERVER_CLOCK_MAX_MS, SERVER_CLOCK_MAX_MS}};
    char error[256];
    if (!rules_check(in, "", members, 2, error, sizeof error)) {
        reply_error(x, 400, error);
        return;
    }
    const weir_value *skew = weir_json_get(in, "skew_ms");
    if (!server_advance(local_server(home), weir_json_get_i64(in, "advance_ms", 0))) {
        snprintf(error, sizeof error,
                 "advance_ms: the clock may go on by 100 years (%" PRId64 " ms) in all",
                 SERVER_CLOCK_MAX_MS);
        reply_error(x, 400, error);
        return;
    }
    if (skew) (void)server_set_skew(local_server(home), skew->as.i64); /* checked above */
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

static void get_faults(local *home, exchange *x, const weir_value *in) {
    (void)in;
    buf b;
    buf_init(&b, OUT_MAX);
    faults_write(local_faults(home), &b);
    reply(x, 200, &b);
    buf_free(&b);
}

static void clear_faults(local *home, exchange *x, const weir_value *in) {
    faults_clear(local_faults(home));
    get_faults(home, x, in);
}

static void get_stats(local *home, exchange *x, const weir_value *in) {
    (void)in;
    buf b;
    buf_init(&b, OUT_MAX);
    stats_write(local_stats(home), &b);
    reply(x, 200, &b);
    buf_free(&b);
}

static void clear_stats(local *home, exchange *x, const weir_value *in) {
    stats_reset(local_stats(home));
    get_stats(home, x, in);
}

static void get_clock(local *home, exchange *x, const weir_value *in) {
    (void)in;
    clock_reply(home, x);
}

static void get_journal(local *home, exchange *x, const weir_value *in) {
    (void)in;
    char error[256] = "out of memory";
    buf b;
    buf_init(&b, JOURNAL_MAX);
    if (journal_write(faults_journal(local_faults(home)), exchange_request(x)->query, &b, error,
                      sizeof error))
        reply(x, 200, &b);
    else
        reply_error(x, 400, error);
    buf_free(&b);
}

static void clear_journal(local *home, exchange *x, const weir_value *in) {
    journal_clear(faults_journal(local_faults(home)));
    get_journal(home, x, in);
}

static void set_journal(local *home, exchange *x, const weir_value *in) {
    char error[256];
    if (journal_set(faults_journal(local_faults(home)), in, error, sizeof error))
        get_journal(home, x, in);
    else
        reply_error(x, 400, error);
}

static void save(local *home, exchange *x, const weir_value *in) {
    char error[1024];
    (void)in;
    if (!local_settings(home)->dir) {
        reply_error(x, 400, "nowhere to save to: start with --dir");
    } else if (!local_save(home, error, sizeof error)) {
        reply_error(x, 500, error);
    } else {
        buf b;
        buf_init(&b, 8192);
        buf_append_z(&b, "{\"dir\":");
        buf_append_json(&b, str_of(local_settings(home)->dir));
        buf_append_char(&b, '}');
        reply(x, 200, &b);
        buf_free(&b);
    }
}

typedef struct place {
    const char *name;
    void (*get)(local *home, exchange *x, const weir_value *in);
    void (*post)(local *home, exchange *x, const weir_value *in);
    void (*erase)(local *home, exchange *x, const weir_value *in);
} place;

static const place places[] = {{"faults", get_faults, set_faults, clear_faults},
                               {"stats", get_stats, NULL, clear_stats},
                               {"clock", get_clock, set_clock, NULL},
                               {"journal", get_journal, set_journal, clear_journal},
                               {"save", NULL, save, NULL}};

/* A service's own settings, which nothing given leaves as they are. */
static void ask_service(const local_service *s, exchange *x, const weir_value *in) {
    buf b;
    buf_init(&b, OUT_MAX);
    if (s->admin(s->own, in, &b))
        reply(x, 200, &b);
    else
        reply_error(x, 400, b.data ? b.data : "out of memory");
    buf_free(&b);
}

static void answer(local *home, exchange *x, weir_str name, const weir_value *in) {
    const server_request *r = exchange_request(x);
    bool get = str_eq_z(r->method, "GET"), post = str_eq_z(r->method, "POST"),
         erase = str_eq_z(r->method, "DELETE");
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        const place *p = &places[i];
        if (!str_eq_z(name, p->name)) continue;
        void (*run)(local *, exchange *, const weir_value *) = get     ? p->get
                                                               : post  ? p->post
                                                               : erase ? p->erase
                                                                       : NULL;
        if (run)
            run(home, x, in);
        else
            reply_error(x, 405, "expected GET, or POST and DELETE where there is something to set");
        return;
    }
    char z[64] = "";
    if (name.len < sizeof z) memcpy(z, name.ptr, (size_t)name.len);
    const local_service *s = local_service_named(home, z);
    if (!s || !s->admin)
        reply_error(
            x, 404,
            "expected /_weir/ and faults, stats, clock, journal, save, or a service that has settings");
    else if (get || post)
        ask_service(s, x, in);
    else
        reply_error(x, 405, "expected GET or POST");
}

static void serve(void *state, exchange *x) {
    const server_request *r = exchange_request(x);
    bool post = str_eq_z(r->method, "POST");
    weir_json_fault fault = {0};
    weir_json_doc *doc =
        weir_json_read(post && r->body.len ? r->body : STR("{}"), WEIR_JSON_UNIQUE_KEYS, &fault);
    char error[256];
    if (!doc) {
        snprintf(error, sizeof error, "line %u, column %u: %s", fault.line, fault.column,
                 fault.text ? fault.text : "out of memory");
        reply_error(x, 400, error);
    } else if (weir_json_root(doc)->type != WEIR_V_OBJECT) {
        reply_error(x, 400, "expected an object");
    } else {
        answer(state, x, str_make(r->path.ptr + 7, (size_t)r->path.len - 7), weir_json_root(doc));
    }
    weir_json_free(doc);
}

bool admin_service(local *home, local_service *out) {
    *out = (local_service){
        .name = "admin", .claims = claims, .serve = serve, .state = home, .own = home};
    return true;
}
