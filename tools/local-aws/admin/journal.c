#include "admin/journal.h"

#include <inttypes.h>
#include <stdio.h>

#include "admin/rules.h"
#include "aws/text.h"
#include "aws/verify.h"
#include "base/mem.h"

#define ENTRIES 1000u
#define ENTRIES_MAX 100000u
#define BODY_MAX (16u << 20)
#define BYTES_MAX ((size_t)256 << 20) /* of all entries: the oldest go first */
#define TEXT_MAX (64u << 10)          /* of one entry's names and headers */
#define HEADERS_MAX 32u
#define OUT_MAX ((size_t)1 << 30)
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

typedef struct entry {
    uint64_t number; /* 0: none */
    int64_t time_ms;
    char service[32], operation[96];
    uint64_t connection, body_size, bytes;
    uint32_t protocol, rule; /* rule UINT32_MAX: none */
    unsigned status;         /* 0: not answered */
    buf about;               /* JSON members of its own: method, path, who, headers */
    buf request_id, canonical, body;
} entry;

struct journal {
    local *home;
    entry *ring;
    uint32_t room;
    uint64_t last; /* number of the newest */
    uint64_t first;
    size_t held; /* bytes */
    uint32_t body_bytes;
    buf headers[HEADERS_MAX];
    uint32_t header_count;
};

struct journal *journal_new(local *home) {
    struct journal *j = mem_zalloc(sizeof *j);
    if (!j) return NULL;
    j->home = home;
    j->room = ENTRIES;
    j->first = 1;
    j->ring = mem_array(ENTRIES, sizeof *j->ring);
    if (!j->ring) {
        mem_free(j);
        return NULL;
    }
    memset(j->ring, 0, ENTRIES * sizeof *j->ring);
    return j;
}

static size_t held(const entry *e) {
    return e->about.len + e->request_id.len + e->canonical.len + e->body.len;
}

static void forget(struct journal *j, entry *e) {
    j->held -= held(e);
    buf_free(&e->about);
    buf_free(&e->request_id);
    buf_free(&e->canonical);
    buf_free(&e->body);
    e->number = 0;
}

void journal_clear(struct journal *j) {
    for (uint32_t i = 0; i < j->room; i++) forget(j, &j->ring[i]);
    j->first = j->last + 1;
}

static void forget_headers(struct journal *j) {
    for (uint32_t i = 0; i < j->header_count; i++) buf_free(&j->headers[i]);
    j->header_count = 0;
}

void journal_free(struct journal *j) {
    if (!j) return;
    journal_clear(j);
    forget_headers(j);
    mem_free(j->ring);
    mem_free(j);
}

/* ---- entries ---- */

static entry *named(struct journal *j, uint64_t number) {
    if (!j->room || number < j->first) return NULL;
    entry *e = &j->ring[number % j->room];
    return e->number == number && number ? e : NULL;
}

static void member(buf *b, const char *name, weir_str value) {
    buf_printf(b, ",\"%s\":", name);
    buf_append_json(b, value);
}

static void describe(struct journal *j, const exchange *x, entry *e) {
    const server_request *r = exchange_request(x);
    buf *b = &e->about;
    aws_identity who;
    verify_read(r, &who);
    member(b, "method", r->method);
    member(b, "path", r->path);
    if (r->query.len) member(b, "query", r->query);
    if (who.access_key.len) member(b, "access_key", who.access_key);
    if (!j->header_count) return;
    buf_append_z(b, ",\"headers\":{");
    bool comma = false;
    for (uint32_t i = 0; i < j->header_count; i++) {
        weir_str value = exchange_request_header(x, j->headers[i].data);
        if (!value.ptr) continue;
        if (comma) buf_append_char(b, ',');
        comma = true;
        buf_append_json(b, buf_str(&j->headers[i]));
        buf_append_char(b, ':');
        buf_append_json(b, value);
    }
    buf_append_char(b, '}');
}

uint64_t journal_begin(struct journal *j, const exchange *x, const char *service,
                       const char *operation) {
    if (!j->room) return 0;
    const server_request *r = exchange_request(x);
    uint64_t number = ++j->last;
    entry *e = &j->ring[number % j->room];
    forget(j, e);
    *e = (entry){.number = number,
                 .time_ms = server_now_ms(local_server(j->home)),
                 .connection = exchange_connection(x),
                 .body_size = r->body.len,
                 .protocol = r->protocol,
                 .rule = UINT32_MAX};
    snprintf(e->service, sizeof e->service, "%s", service);
    snprintf(e->operation, sizeof e->operation, "%s", operation);
    buf_init(&e->about, TEXT_MAX);
    buf_init(&e->request_id, 256);
    buf_init(&e->canonical, TEXT_MAX);
    buf_init(&e->body, BODY_MAX);
    describe(j, x, e);
    if (!buf_ok(&e->about)) buf_reset(&e->about);
    size_t n = r->body.len < j->body_bytes ? (size_t)r->body.len : j->body_bytes;
    if (n) buf_append(&e->body, r->body.ptr, n);
    j->held += held(e);
    if (number - j->first >= j->room) j->first = number - j->room + 1;
    while (j->held > BYTES_MAX && j->first < number) {
        entry *oldest = named(j, j->first++);
        if (oldest) forget(j, oldest);
    }
    return number;
}

void journal_fault(struct journal *j, uint64_t number, uint32_t index) {
    entry *e = named(j, number);
    if (e) e->rule = index;
}

void journal_canonical(struct journal *j, uint64_t number, weir_str text) {
    entry *e = named(j, number);
    if (!e) return;
    j->held -= e->canonical.len;
    buf_reset(&e->canonical);
    buf_append_str(&e->canonical, text);
    j->held += e->canonical.len;
}

void journal_end(struct journal *j, uint64_t number, unsigned status, weir_str request_id,
                 uint64_t bytes) {
    entry *e = named(j, number);
    if (!e) return;
    e->status = status;
    e->bytes = bytes;
    j->held -= e->request_id.len;
    buf_reset(&e->request_id);
    buf_append_str(&e->request_id, request_id);
    j->held += e->request_id.len;
}

/* ---- settings ---- */

bool journal_set(struct journal *j, const weir_value *in, char *error, size_t error_size) {
    static const rules_member members[] = {
        {"entries", 'i', 0, ENTRIES_MAX}, {"body_bytes", 'i', 0, BODY_MAX}, {"headers", 'a', 0, 0}};
    if (!rules_check(in, "", members, COUNT(members), error, error_size)) return false;
    const weir_value *list = weir_json_get(in, "headers"), *one = list ? list + 1 : NULL;
    bool ok = !list || list->size <= HEADERS_MAX;
    for (uint32_t i = 0; ok && list && i < list->size; i++, one = weir_value_next(one))
        ok = one->type == WEIR_V_STRING && one->logical == WEIR_L_NONE;
    if (!ok) {
        snprintf(error, error_size, "headers: expected at most %u names", HEADERS_MAX);
        return false;
    }
    uint32_t room = (uint32_t)weir_json_get_i64(in, "entries", j->room);
    if (room != j->room) {
        entry *ring = mem_array(room ? room : 1, sizeof *ring);
        if (!ring) {
            snprintf(error, error_size, "out of memory");
            return false;
        }
        memset(ring, 0, (room ? room : 1) * sizeof *ring);
        journal_clear(j);
        mem_free(j->ring);
        j->ring = ring;
        j->room = room;
    }
    j->body_bytes = (uint32_t)weir_json_get_i64(in, "body_bytes", j->body_bytes);
    if (!list) return true;
    forget_headers(j);
    one = list + 1;
    for (uint32_t i = 0; i < list->size; i++, one = weir_value_next(one)) {
        buf *b = &j->headers[j->header_count++];
        buf_init(b, 1024);
        buf_append_str(b, weir_value_str(one));
        for (size_t k = 0; k < b->len; k++) /* as requests have them here */
            if (b->data[k] >= 'A' && b->data[k] <= 'Z') b->data[k] = (char)(b->data[k] + 32);
        if (!b->data) b->failed = true;
        if (buf_ok(b)) continue;
        forget_headers(j);
        snprintf(error, error_size, "headers: expected names of at most 1024 bytes");
        return false;
    }
    return true;
}

/* ---- reading ---- */

typedef struct filter {
    int64_t after, limit, status;
    weir_str service, operation;
} filter;

static bool read_query(weir_str query, filter *f, char *error, size_t error_size) {
    *f = (filter){.after = 0, .limit = INT64_MAX, .status = -1};
    while (query.len) {
        weir_str one = aws_until(&query, '&'), value = one, name = aws_until(&value, '=');
        bool ok = name.len < one.len;
        if (str_eq_z(name, "service"))
            f->service = value;
        else if (str_eq_z(name, "operation"))
            f->operation = value;
        else if (str_eq_z(name, "after"))
            ok = str_to_i64(value, &f->after) && f->after >= 0;
        else if (str_eq_z(name, "limit"))
            ok = str_to_i64(value, &f->limit) && f->limit >= 0;
        else if (str_eq_z(name, "status"))
            ok = str_to_i64(value, &f->status);
        else
            ok = false;
        if (ok) continue;
        snprintf(error, error_size,
                 "'%.*s': expected after=N, limit=N, status=N, service=NAME or operation=NAME",
                 STR_FMT(one));
        return false;
    }
    return true;
}

static const entry *wanted(const struct journal *j, const filter *f, uint64_t number) {
    if (!j->room) return NULL;
    const entry *e = &j->ring[number % j->room];
    if (e->number != number || (f->status >= 0 && e->status != (unsigned)f->status) ||
        (f->service.len && !str_eq_z(f->service, e->service)) ||
        (f->operation.len && !str_eq_z(f->operation, e->operation)))
        return NULL;
    return e;
}

static void write_entry(const entry *e, buf *out) {
    buf_printf(out,
               "{\"number\":%" PRIu64 ",\"time_ms\":%" PRId64 ",\"connection\":%" PRIu64
               ",\"http\":\"%s\"",
               e->number, e->time_ms, e->connection,
               e->protocol == SERVER_HTTP_2     ? "2"
               : e->protocol == SERVER_HTTP_1_1 ? "1.1"
                                                : "1.0");
    member(out, "service", str_of(e->service));
    member(out, "operation", str_of(e->operation));
    buf_append_str(out, buf_str(&e->about));
    buf_printf(out, ",\"body_size\":%" PRIu64 ",\"status\":", e->body_size);
    if (e->status)
        buf_printf(out, "%u,\"answer_bytes\":%" PRIu64, e->status, e->bytes);
    else
        buf_append_z(out, "null");
    if (e->request_id.len) member(out, "request_id", buf_str(&e->request_id));
    if (e->rule != UINT32_MAX) buf_printf(out, ",\"fault\":%" PRIu32, e->rule);
    if (e->canonical.len) member(out, "canonical_request", buf_str(&e->canonical));
    if (e->body.len && buf_reserve(out, 4 * (e->body.len + 2) / 3 + 16)) {
        buf_append_z(out, ",\"body\":\"");
        out->len += (size_t)weir_base64_encode(buf_str(&e->body), out->data + out->len);
        buf_append_char(out, '"');
    }
    buf_append_char(out, '}');
}

bool journal_write(const struct journal *j, weir_str query, buf *out, char *error,
                   size_t error_size) {
    filter f;
    if (!read_query(query, &f, error, error_size)) return false;
    uint64_t from = j->first;
    if ((uint64_t)f.after >= from) from = (uint64_t)f.after + 1;
    int64_t matching = 0;
    for (uint64_t n = from; n <= j->last; n++) matching += wanted(j, &f, n) != NULL;
    buf_printf(out,
               "{\"entries\":%" PRIu32 ",\"body_bytes\":%" PRIu32 ",\"last\":%" PRIu64
               ",\"requests\":[",
               j->room, j->body_bytes, j->last);
    bool comma = false;
    for (uint64_t n = from; n <= j->last; n++) {
        const entry *e = wanted(j, &f, n);
        if (!e || matching-- > f.limit) continue;
        if (comma) buf_append_char(out, ',');
        comma = true;
        write_entry(e, out);
    }
    buf_append_z(out, "]}");
    return buf_ok(out);
}
