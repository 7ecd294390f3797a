/*
 * HTTP/1.1: one exchange at a time. What is pipelined behind it stays in `in` until its turn comes.
 */
#include <inttypes.h>
#include <stdio.h>

#include "server/internal.h"

enum { HEAD, BODY, CHUNKS, ANSWER };

/* A body is at once given the room that it announces, up to this; beyond it, it must come first. */
#define BODY_AT_ONCE ((size_t)16 << 20)
#define OUT_HIGH ((size_t)4 << 20)

static const char *reason(unsigned status) {
    switch (status) {
    case 200:
        return "OK";
    case 201:
        return "Created";
    case 204:
        return "No Content";
    case 206:
        return "Partial Content";
    case 301:
        return "Moved Permanently";
    case 304:
        return "Not Modified";
    case 307:
        return "Temporary Redirect";
    case 400:
        return "Bad Request";
    case 401:
        return "Unauthorized";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 409:
        return "Conflict";
    case 411:
        return "Length Required";
    case 412:
        return "Precondition Failed";
    case 413:
        return "Content Too Large";
    case 416:
        return "Range Not Satisfiable";
    case 429:
        return "Too Many Requests";
    case 431:
        return "Request Header Fields Too Large";
    case 500:
        return "Internal Server Error";
    case 501:
        return "Not Implemented";
    case 503:
        return "Service Unavailable";
    default:
        return "Status";
    }
}

static void consume(connection *c, size_t n) {
    c->in_len -= n;
    if (c->in_len) memmove(c->in, c->in + n, c->in_len);
}

/* The request cannot be read: says so and closes, for nobody knows where the next one begins. */
static void refuse(connection *c, unsigned status, const char *why) {
    char text[512];
    int n = snprintf(text, sizeof text,
                     "HTTP/1.1 %u %s\r\ncontent-type: text/plain\r\ncontent-length: %zu\r\n"
                     "connection: close\r\n\r\n%s\n",
                     status, reason(status), strlen(why) + 1, why);
    if (n > 0) connection_out(c, text, (size_t)n);
    c->refused = true;
    c->close_after = true;
}

static bool start_request(connection *c) {
    http1_head *h = &c->h1.parsed;
    exchange *x = exchange_new(c);
    if (!x) return false;
    c->h1.current = x;
    /* The head moves out of the buffer, since the next request is read into it. */
    if (!buf_reserve(&x->head, h->bytes)) return false;
    buf_append(&x->head, c->in, h->bytes);
    if (!buf_ok(&x->head)) return false;
    const char *old = c->in, *now = x->head.data;
#define MOVED(s)                                                                                   \
    str_make((s).ptr >= old && (s).ptr < old + c->in_len ? now + ((s).ptr - old) : (s).ptr, (s).len)
    for (uint32_t i = 0; i < h->header_count; i++)
        if (!exchange_add_request_header(x, MOVED(h->headers[i].name), MOVED(h->headers[i].value)))
            return false;
    x->request.method = MOVED(h->method);
    x->request.path = MOVED(h->target);
    x->request.host = MOVED(h->host);
    x->request.protocol = h->protocol;
#undef MOVED
    c->h1.want_close = !h->keep_alive;
    consume(c, h->bytes);
    x->body = c->h1.spare_body;
    x->body_room = c->h1.spare_room;
    c->h1.spare_body = NULL;
    c->h1.spare_room = 0;
    return true;
}

/* False: nothing more can be done with what is there. */
static bool read_head(connection *c) {
    http1_result r = http1_parse_head(c->in, c->in_len, c->h1.seen, &c->h1.parsed);
    http1_head *h = &c->h1.parsed;
    if (r == HTTP1_MORE) {
        c->h1.seen = c->in_len;
        if (c->in_len > c->srv->options.limits.head_bytes)
            refuse(c, 431, "the head of the request is too large");
        return false;
    }
    c->h1.seen = 0;
    if (r == HTTP1_BAD) {
        refuse(c, 400, h->fault);
        return false;
    }
    if (h->bytes > c->srv->options.limits.head_bytes) {
        refuse(c, 431, "the head of the request is too large");
        return false;
    }
    uint64_t length = h->length;
    bool chunked = h->chunked, expects = h->expects_continue;
    if (length > c->srv->options.limits.body_bytes) {
        refuse(c, 413, "the body is larger than this server takes");
        return false;
    }
    if (!start_request(c)) {
        connection_close(c);
        return false;
    }
    c->h1.chunks = (http1_chunks){0};
    c->h1.phase = chunked ? CHUNKS : BODY;
    if (expects && (chunked || length > c->in_len)) {
        static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
        connection_out(c, go_on, sizeof go_on - 1);
    }
    return true;
}

static bool dispatch(connection *c) {
    c->h1.phase = ANSWER;
    exchange_dispatch(c->h1.current);
    return true;
}

static bool read_body(connection *c) {
    exchange *x = c->h1.current;
    uint64_t left = c->h1.parsed.length - x->body_len;
    size_t n = left < c->in_len ? (size_t)left : c->in_len;
    size_t expected = c->h1.parsed.length < BODY_AT_ONCE ? (size_t)c->h1.parsed.length : 0;
    if (n && !exchange_append_body(x, c->in, n, expected)) {
        connection_close(c);
        return false;
    }
    consume(c, n);
    return x->body_len == c->h1.parsed.length && dispatch(c);
}

char *h1_body_room(connection *c, size_t *room) {
    exchange *x = c->h1.current;
    if (!x || c->h1.phase != BODY || c->in_len) return NULL;
    uint64_t left = c->h1.parsed.length - x->body_len;
    size_t want = left < BODY_AT_ONCE ? (size_t)left : BODY_AT_ONCE;
    if (x->body_room - x->body_len < want && x->body_room - x->body_len < BODY_AT_ONCE / 16) {
        size_t more = x->body_len + want;
        if (more < x->body_room * 2 && x->body_room * 2 <= c->h1.parsed.length)
            more = x->body_room * 2;
        char *body = mem_realloc(x->body, more);
        if (!body) return NULL;
        x->body = body;
        x->body_room = more;
    }
    *room = x->body_room - x->body_len < left ? x->body_room - x->body_len : (size_t)left;
    return x->body + x->body_len;
}

void h1_body_read(connection *c, size_t n) {
    c->h1.current->body_len += n;
}

static bool read_chunks(connection *c) {
    exchange *x = c->h1.current;
    size_t at = 0;
    http1_result r = HTTP1_MORE;
    while (at < c->in_len && r == HTTP1_MORE) {
        size_t used;
        weir_str data;
        r = http1_chunks_next(&c->h1.chunks, c->in + at, c->in_len - at, &used, &data);
        at += used;
        if (x->body_len + data.len > c->srv->options.limits.body_bytes) {
            refuse(c, 413, "the body is larger than this server takes");
            return false;
        }
        if (data.len && !exchange_append_body(x, data.ptr, (size_t)data.len, 0)) {
            connection_close(c);
            return false;
        }
    }
    if (r == HTTP1_BAD) {
        refuse(c, 400, c->h1.chunks.fault);
        return false;
    }
    consume(c, at);
    return r == HTTP1_OK && dispatch(c);
}

/* Whether a request cannot become whole any more. */
static bool starved(const connection *c) {
    return c->read_closed && c->h1.phase != ANSWER;
}

void h1_advance(connection *c) {
    for (bool more = true; more && !c->dead && !c->refused;) {
        switch (c->h1.phase) {
        case HEAD:
            more = c->in_len > 0 && read_head(c);
            break;
        case BODY:
            more = read_body(c);
            break;
        case CHUNKS:
            more = read_chunks(c);
            break;
        default:
            h1_pump(c);
            more = !c->dead && c->h1.phase == HEAD;
        }
    }
    if (!c->dead && starved(c)) {
        if (c->out.bytes)
            c->close_after = true;
        else
            connection_close(c);
    }
}

bool h1_wants_input(const connection *c) {
    return !c->refused && (c->h1.phase != ANSWER || c->in_len < c->srv->options.limits.head_bytes);
}

static bool write_head(connection *c, exchange *x) {
    buf b;
    buf_init(&b, (size_t)2 << 20);
    buf_printf(&b, "HTTP/1.1 %u %s\r\n", x->status, reason(x->status));
    for (uint32_t i = 0; i < x->answer_header_count; i++) {
        const header_place *p = &x->answer_headers[i];
        buf_append(&b, x->texts.data + p->name, p->name_len);
        buf_append(&b, ": ", 2);
        buf_append(&b, x->texts.data + p->value, p->value_len);
        buf_append(&b, "\r\n", 2);
    }
    buf_printf(&b, "date: %s\r\n", server_date(c->srv, x->date_offset_ms));
    if (x->has_length && x->status != 204 && x->status != 304)
        buf_printf(&b, "content-length: %" PRIu64 "\r\n", x->length);
    else if (!x->has_length && x->request.protocol == SERVER_HTTP_1_1 && !x->no_body)
        buf_append_z(&b, "transfer-encoding: chunked\r\n");
    /* Without length and without chunks the end of the connection is the end of the body. */
    if (!x->has_length && x->request.protocol == SERVER_HTTP_1_0) c->h1.want_close = true;
    if (x->has_cut && x->cut_how == EXCHANGE_CUT_GOAWAY) c->h1.want_close = true;
    if (conduct_last_answer(c)) c->h1.want_close = true;
    if (c->h1.want_close)
        buf_append_z(&b, "connection: close\r\n");
    else if (x->request.protocol == SERVER_HTTP_1_0)
        buf_append_z(&b, "connection: keep-alive\r\n");
    buf_append(&b, "\r\n", 2);
    bool ok = buf_ok(&b) && connection_out(c, b.data, b.len);
    buf_free(&b);
    return ok;
}

static void cut(connection *c, exchange *x) {
    x->cut_done = true;
    c->refused = true; /* nothing behind it is read */
    c->close_after = true;
    c->reset_after = x->cut_how == EXCHANGE_CUT_RESET || x->cut_how == EXCHANGE_CUT_REFUSED;
}

static bool write_parts(connection *c, exchange *x, size_t n) {
    bool chunked = !x->has_length && x->request.protocol == SERVER_HTTP_1_1;
    if (chunked) {
        char line[24];
        int len = snprintf(line, sizeof line, "%zx\r\n", n);
        if (!connection_out(c, line, (size_t)len)) return false;
    }
    size_t left = n;
    for (uint32_t i = 0; left; i++) {
        slice *s = slices_at(&x->parts, i);
        size_t take = s->len < left ? s->len : left;
        if (!slices_push(&c->out, s->of, s->at, take)) return false;
        left -= take;
    }
    exchange_sent(x, n);
    return !chunked || connection_out(c, "\r\n", 2);
}

void h1_pump(connection *c) {
    exchange *x = c->h1.current;
    if (!x || x->state == EXCHANGE_OPEN || x->cut_done || c->h1.phase != ANSWER) return;
    if (x->state == EXCHANGE_ABORTED) {
        c->refused = true;
        c->close_after = true;
        exchange_free(x);
        return;
    }
    bool real_cut = x->has_cut && x->cut_how != EXCHANGE_CUT_GOAWAY;
    if (!real_cut) x->has_cut = x->has_cut && !x->head_out;
    bool ok = true;
    if (real_cut && x->cut_at == 0) {
        cut(c, x);
        return;
    }
    if (!x->head_out) {
        ok = write_head(c, x);
        x->head_out = true;
        if (!real_cut) x->has_cut = false;
    }
    size_t n;
    while (ok && c->out.bytes < OUT_HIGH && (n = exchange_may_send(x)) > 0) {
        ok = write_parts(c, x, n);
        if (ok && x->pace_bytes) break; /* each piece in a write of its own */
    }
    if (!ok) {
        connection_close(c);
        return;
    }
    if (real_cut && x->body_out >= x->cut_at) {
        cut(c, x);
        return;
    }
    if (x->state != EXCHANGE_GIVEN || x->parts.bytes) return;
    if (!x->has_length && !x->no_body && x->request.protocol == SERVER_HTTP_1_1)
        connection_out(c, "0\r\n\r\n", 5);
    exchange_free(x);
    c->h1.phase = HEAD;
    if (c->h1.want_close) {
        c->refused = true;
        c->close_after = true;
    }
}

void h1_free(connection *c) {
    mem_free(c->h1.spare_body);
    c->h1.spare_body = NULL;
    c->h1.spare_room = 0;
}
