#include <stdarg.h>
#include <stdio.h>

#include "server/internal.h"

#define HEAD_TEXT_MAX ((size_t)1 << 20)

exchange *exchange_new(connection *c) {
    exchange *x = mem_zalloc(sizeof *x);
    if (!x) return NULL;
    x->srv = c->srv;
    x->conn = c;
    x->status = 200;
    buf_init(&x->head, HEAD_TEXT_MAX);
    buf_init(&x->texts, HEAD_TEXT_MAX);
    x->next = c->exchanges;
    if (x->next) x->next->previous = x;
    c->exchanges = x;
    return x;
}

void exchange_free(exchange *x) {
    connection *c = x->conn;
    if (x->previous)
        x->previous->next = x->next;
    else
        c->exchanges = x->next;
    if (x->next) x->next->previous = x->previous;
    /* HTTP/1.1 keeps the body's memory for the next request of the connection. */
    if (x->body && !x->body_taken) {
        if (c->protocol == WIRE_H1 && x->body_room > c->h1.spare_room) {
            mem_free(c->h1.spare_body);
            c->h1.spare_body = x->body;
            c->h1.spare_room = x->body_room;
        } else {
            mem_free(x->body);
        }
    }
    if (c->h1.current == x) c->h1.current = NULL;
    server_timer_free(x->pace_timer);
    if (x->free_note) x->free_note(x->note);
    slices_free(&x->parts);
    buf_free(&x->head);
    buf_free(&x->texts);
    mem_free(x->headers);
    mem_free(x->answer_headers);
    mem_free(x);
}

void exchange_lost(exchange *x) {
    bool held = x->state == EXCHANGE_OPEN || x->state == EXCHANGE_BEGUN;
    void (*closed)(void *) = x->closed;
    void *opaque = x->closed_opaque;
    if (held && closed) closed(opaque);
    exchange_free(x);
}

/* ---- the request ---- */

const server_request *exchange_request(const exchange *x) {
    return &x->request;
}

static weir_str find(const server_header *headers, uint32_t count, const char *name) {
    for (uint32_t i = 0; i < count; i++)
        if (str_eq_z(headers[i].name, name)) return headers[i].value;
    return (weir_str){NULL, 0};
}

weir_str exchange_request_header(const exchange *x, const char *name) {
    return find(x->headers, x->request.header_count, name);
}

weir_str server_request_header(const server_request *r, const char *name) {
    return find(r->headers, r->header_count, name);
}

uint64_t exchange_connection(const exchange *x) {
    return x->conn->number;
}

void *exchange_take_body(exchange *x) {
    if (!x->body || x->body_taken || x->body_len == 0) return NULL;
    x->body_taken = true;
    return x->body;
}

bool exchange_add_request_header(exchange *x, weir_str name, weir_str value) {
    if (x->request.header_count == x->header_room) {
        uint32_t room = x->header_room ? x->header_room * 2 : 16;
        server_header *headers = mem_realloc(x->headers, room * sizeof *headers);
        if (!headers) return false;
        x->headers = headers;
        x->header_room = room;
    }
    x->headers[x->request.header_count++] = (server_header){name, value};
    return true;
}

bool exchange_append_body(exchange *x, const void *bytes, size_t len, size_t expected) {
    if (x->body_len + len > x->body_room) {
        size_t room = x->body_room ? x->body_room * 2 : 16384;
        if (room < expected) room = expected;
        if (room < x->body_len + len) room = x->body_len + len;
        char *body = mem_realloc(x->body, room);
        if (!body) return false;
        x->body = body;
        x->body_room = room;
    }
    if (len) memcpy(x->body + x->body_len, bytes, len);
    x->body_len += len;
    return true;
}

void exchange_dispatch(exchange *x) {
    server_request *r = &x->request;
    r->headers = x->headers;
    r->body = str_make(x->body ? x->body : "", x->body_len);
    r->tls = x->conn->tls != NULL;
    /* The absolute form of a target, which proxies get: its authority is the Host header's. */
    if (str_starts(r->path, STR("http://")) || str_starts(r->path, STR("https://"))) {
        const char *authority =
            (const char *)memmem(r->path.ptr, (size_t)r->path.len, "://", 3) + 3;
        size_t left = (size_t)r->path.len - (size_t)(authority - r->path.ptr);
        const char *slash = left ? memchr(authority, '/', left) : NULL;
        r->path = slash ? str_make(slash, left - (size_t)(slash - authority)) : STR("/");
    }
    const char *mark = memchr(r->path.ptr, '?', (size_t)r->path.len);
    if (mark) {
        size_t n = (size_t)(mark - r->path.ptr);
        r->query = str_make(mark + 1, (size_t)r->path.len - n - 1);
        r->path.len = n;
    } else {
        r->query = STR("");
    }
    if (r->path.len == 0) r->path = STR("/");
    x->srv->options.handler(x->srv->options.opaque, x);
}

/* ---- the answer ---- */

void exchange_status(exchange *x, unsigned status) {
    x->status = status;
}

void exchange_header(exchange *x, const char *name, weir_str value) {
    if (x->answer_header_count == x->answer_header_room) {
        uint32_t room = x->answer_header_room ? x->answer_header_room * 2 : 16;
        header_place *places = mem_realloc(x->answer_headers, room * sizeof *places);
        if (!places) {
            x->texts.failed = true;
            return;
        }
        x->answer_headers = places;
        x->answer_header_room = room;
    }
    header_place p = {.name = (uint32_t)x->texts.len, .name_len = (uint32_t)strlen(name)};
    buf_append_z(&x->texts, name);
    p.value = (uint32_t)x->texts.len;
    p.value_len = (uint32_t)value.len;
    buf_append_str(&x->texts, value);
    /* A line end inside a value would be another header: whatever came in, none goes out. */
    if (!buf_ok(&x->texts)) return;
    for (char *c = x->texts.data + p.value; c < x->texts.data + x->texts.len; c++)
        if (*c == '\r' || *c == '\n' || *c == 0) *c = ' ';
    x->answer_headers[x->answer_header_count++] = p;
}

void exchange_header_f(exchange *x, const char *name, const char *format, ...) {
    char text[512];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (n < 0) return;
    exchange_header(x, name, str_make(text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1));
}

static bool names(const exchange *x, const header_place *p, const char *name) {
    /* Without memory the texts are gone; the answer will be given up. */
    return buf_ok(&x->texts) && str_eq_z(str_make(x->texts.data + p->name, p->name_len), name);
}

weir_str exchange_answer_header(const exchange *x, const char *name) {
    for (uint32_t i = x->answer_header_count; i-- > 0;) {
        const header_place *p = &x->answer_headers[i];
        if (names(x, p, name)) return str_make(x->texts.data + p->value, p->value_len);
    }
    return (weir_str){NULL, 0};
}

void exchange_replace_header(exchange *x, const char *name, weir_str value) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < x->answer_header_count; i++)
        if (!names(x, &x->answer_headers[i], name))
            x->answer_headers[kept++] = x->answer_headers[i];
    x->answer_header_count = kept;
    if (value.ptr) exchange_header(x, name, value);
}

void exchange_reset(exchange *x) {
    x->status = 200;
    x->answer_header_count = 0;
    buf_reset(&x->texts);
    slices_clear(&x->parts);
}

/* Without memory for a part the answer would be another one: it is given up. */
static void give(exchange *x, segment *s) {
    if (x->state == EXCHANGE_ABORTED) return;
    if (!s || !slices_push(&x->parts, s, 0, s->len)) x->texts.failed = true;
    if (x->state == EXCHANGE_BEGUN) {
        if (x->conn->protocol == WIRE_H2) h2_more(x);
        connection_ready(x->conn);
    }
}

void exchange_copy(exchange *x, const void *bytes, size_t len) {
    segment *s = segment_copy(bytes, len);
    give(x, s);
    if (s) segment_drop(s);
}

void exchange_refer(exchange *x, const void *bytes, size_t len, void (*release)(void *opaque),
                    void *opaque) {
    segment *s = mem_alloc(sizeof *s);
    if (!s) {
        if (release) release(opaque);
        give(x, NULL);
        return;
    }
    *s = (segment){1, bytes, len, release, opaque};
    give(x, s);
    segment_drop(s);
}

static void answer(exchange *x, exchange_state state) {
    if (x->state == EXCHANGE_ABORTED) return; /* a part of it could not be made */
    if (x->texts.failed) {
        exchange_abort(x);
        return;
    }
    x->state = state;
    if (x->status == 204 || x->status == 304) x->no_body = true;
    if (x->no_body) slices_clear(&x->parts);
    if (x->conn->protocol == WIRE_H2) h2_answer(x);
    connection_ready(x->conn);
}

static void call_hook(exchange *x) {
    void (*hook)(void *, exchange *) = x->hook;
    x->hook = NULL;
    if (hook) hook(x->hook_opaque, x);
}

void exchange_send(exchange *x) {
    call_hook(x);
    if (x->state != EXCHANGE_OPEN) return; /* the hook gave another answer */
    x->has_length = true;
    x->length = x->parts.bytes;
    if (str_eq_z(x->request.method, "HEAD")) x->no_body = true;
    answer(x, EXCHANGE_GIVEN);
}

void exchange_send_head(exchange *x, uint64_t length) {
    call_hook(x);
    if (x->state != EXCHANGE_OPEN) return;
    x->has_length = true;
    x->length = length;
    x->no_body = true;
    answer(x, EXCHANGE_GIVEN);
}

void exchange_begin(exchange *x) {
    x->opens = true;
    call_hook(x);
    answer(x, EXCHANGE_BEGUN);
}

void exchange_end(exchange *x) {
    if (x->state == EXCHANGE_ABORTED) return;
    if (x->texts.failed) {
        exchange_abort(x);
        return;
    }
    x->state = EXCHANGE_GIVEN;
    if (x->conn->protocol == WIRE_H2) h2_more(x);
    connection_ready(x->conn);
}

void exchange_abort(exchange *x) {
    x->state = EXCHANGE_ABORTED;
    if (x->conn->protocol == WIRE_H2) h2_abort(x, EXCHANGE_CUT_RST_STREAM);
    connection_ready(x->conn);
}

size_t exchange_pending(const exchange *x) {
    return x->parts.bytes;
}

void exchange_on_close(exchange *x, void (*closed)(void *opaque), void *opaque) {
    x->closed = closed;
    x->closed_opaque = opaque;
}

void exchange_on_answer(exchange *x, void (*hook)(void *opaque, exchange *x), void *opaque) {
    x->hook = hook;
    x->hook_opaque = opaque;
}

unsigned exchange_answer_status(const exchange *x) {
    return x->status;
}

bool exchange_answer_open(const exchange *x) {
    return x->opens;
}

void exchange_gather(const exchange *x, buf *out) {
    for (uint32_t i = 0; i < x->parts.count; i++) {
        const slice *s = slices_at(&x->parts, i);
        buf_append(out, s->of->bytes + s->at, s->len);
    }
}

void exchange_forget_body(exchange *x) {
    slices_clear(&x->parts);
}

void exchange_set_note(exchange *x, void *note, void (*free_note)(void *note)) {
    x->note = note;
    x->free_note = free_note;
}

void *exchange_note(const exchange *x) {
    return x->note;
}

/* ---- misbehaviour ---- */

void exchange_set_cut(exchange *x, uint64_t at, exchange_cut how) {
    x->has_cut = true;
    x->cut_at = at;
    x->cut_how = how;
}

void exchange_set_date(exchange *x, int64_t offset_ms) {
    x->date_offset_ms = offset_ms;
}

static void next_piece(void *opaque) {
    exchange *x = opaque;
    x->allowance = x->pace_bytes;
    if (x->conn->protocol == WIRE_H2) h2_more(x);
    connection_ready(x->conn);
}

void exchange_set_pace(exchange *x, uint32_t bytes, uint32_t every_ms) {
    if (!bytes) return;
    if (!x->pace_timer) x->pace_timer = server_timer_new(x->srv, next_piece, x);
    if (!x->pace_timer) return;
    x->pace_bytes = x->allowance = bytes;
    x->pace_ms = every_ms;
}

size_t exchange_may_send(exchange *x) {
    size_t n = x->parts.bytes;
    if (x->has_cut && n > x->cut_at - x->body_out) n = (size_t)(x->cut_at - x->body_out);
    if (x->pace_bytes && n > x->allowance) n = x->allowance;
    return n;
}

void exchange_sent(exchange *x, size_t n) {
    slices_take(&x->parts, n);
    x->body_out += n;
    if (!x->pace_bytes) return;
    x->allowance -= (uint32_t)n;
    if (x->allowance == 0) server_timer_set(x->pace_timer, x->pace_ms);
}
