#include "server/http1_parse.h"

#include <string.h>

#include "base/str.h"

enum { TOKEN = 1, FIELD = 2, TARGET = 4 };

/* What RFC 9110 allows: tchar in methods and names; anything but controls in values. */
static unsigned class_of(unsigned char c) {
    unsigned kind = 0;
    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
        (c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL))
        kind |= TOKEN;
    if (c == '\t' || (c >= 0x20 && c != 0x7f)) kind |= FIELD;
    if (c > 0x20 && c != 0x7f) kind |= TARGET;
    return kind;
}

static bool all_of(weir_str s, unsigned kind) {
    for (size_t i = 0; i < s.len; i++)
        if (!(class_of((unsigned char)s.ptr[i]) & kind)) return false;
    return true;
}

static weir_str trimmed(weir_str s) {
    while (s.len && (s.ptr[0] == ' ' || s.ptr[0] == '\t')) s.ptr++, s.len--;
    while (s.len && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t')) s.len--;
    return s;
}

static bool same_word(weir_str s, const char *lower) {
    size_t n = strlen(lower);
    if (s.len != n) return false;
    for (size_t i = 0; i < n; i++) {
        char c = s.ptr[i];
        if (c >= 'A' && c <= 'Z') c = (char)(c + 32);
        if (c != lower[i]) return false;
    }
    return true;
}

/* Whether a comma-separated list names `word`. */
static bool list_has(weir_str list, const char *word) {
    while (list.len) {
        const char *comma = memchr(list.ptr, ',', (size_t)list.len);
        size_t n = comma ? (size_t)(comma - list.ptr) : (size_t)list.len;
        if (same_word(trimmed(str_make(list.ptr, n)), word)) return true;
        if (!comma) break;
        list = str_make(comma + 1, (size_t)list.len - n - 1);
    }
    return false;
}

static http1_result bad(http1_head *out, const char *fault) {
    out->fault = fault;
    return HTTP1_BAD;
}

static bool decimal(weir_str s, uint64_t *out) {
    uint64_t n = 0;
    if (s.len == 0 || s.len > 18) return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9') return false;
        n = n * 10 + (uint64_t)(s.ptr[i] - '0');
    }
    *out = n;
    return true;
}

static http1_result request_line(weir_str line, http1_head *out) {
    const char *space = memchr(line.ptr, ' ', (size_t)line.len);
    if (!space) return bad(out, "expected 'METHOD TARGET HTTP/1.1'");
    out->method = str_make(line.ptr, (size_t)(space - line.ptr));
    weir_str rest = str_make(space + 1, (size_t)line.len - (size_t)out->method.len - 1);
    space = rest.len ? memchr(rest.ptr, ' ', (size_t)rest.len) : NULL;
    if (!space) return bad(out, "expected 'METHOD TARGET HTTP/1.1'");
    out->target = str_make(rest.ptr, (size_t)(space - rest.ptr));
    weir_str version = str_make(space + 1, (size_t)rest.len - (size_t)out->target.len - 1);
    if (out->method.len == 0 || !all_of(out->method, TOKEN)) return bad(out, "not a method");
    if (out->target.len == 0 || !all_of(out->target, TARGET)) return bad(out, "not a target");
    if (str_eq_z(version, "HTTP/1.1")) {
        out->protocol = SERVER_HTTP_1_1;
    } else if (str_eq_z(version, "HTTP/1.0")) {
        out->protocol = SERVER_HTTP_1_0;
    } else {
        return bad(out, "expected HTTP/1.0 or HTTP/1.1");
    }
    out->keep_alive = out->protocol == SERVER_HTTP_1_1;
    return HTTP1_OK;
}

/* What a header means to the transfer itself. */
static http1_result meaning(const server_header *h, http1_head *out) {
    if (str_eq_z(h->name, "content-length")) {
        uint64_t n;
        if (!decimal(h->value, &n)) return bad(out, "not a content-length");
        if (out->has_length && out->length != n) return bad(out, "two values of content-length");
        out->has_length = true;
        out->length = n;
    } else if (str_eq_z(h->name, "transfer-encoding")) {
        if (out->chunked || !same_word(h->value, "chunked"))
            return bad(out, "expected transfer-encoding: chunked");
        out->chunked = true;
    } else if (str_eq_z(h->name, "connection")) {
        if (list_has(h->value, "close")) out->keep_alive = false;
        if (out->protocol == SERVER_HTTP_1_0 && list_has(h->value, "keep-alive"))
            out->keep_alive = true;
    } else if (str_eq_z(h->name, "expect")) {
        out->expects_continue = same_word(h->value, "100-continue");
    } else if (str_eq_z(h->name, "host")) {
        if (out->host.ptr) return bad(out, "two host headers");
        out->host = h->value;
    }
    return HTTP1_OK;
}

static http1_result header_line(char *line, size_t len, http1_head *out) {
    char *colon = memchr(line, ':', len);
    if (!colon) return bad(out, "expected 'name: value'");
    if (out->header_count == HTTP1_HEADERS_MAX) return bad(out, "too many headers");
    server_header *h = &out->headers[out->header_count++];
    h->name = str_make(line, (size_t)(colon - line));
    h->value = trimmed(str_make(colon + 1, len - (size_t)h->name.len - 1));
    if (h->name.len == 0 || !all_of(h->name, TOKEN)) return bad(out, "not the name of a header");
    if (!all_of(h->value, FIELD)) return bad(out, "control character in a header");
    for (char *p = line; p < colon; p++)
        if (*p >= 'A' && *p <= 'Z') *p = (char)(*p + 32);
    return meaning(h, out);
}

http1_result http1_parse_head(char *text, size_t len, size_t seen, http1_head *out) {
    size_t from = seen > 3 ? seen - 3 : 0;
    size_t start = 0;
    /* An empty line before a request is left over from a careless client. */
    while (len - start >= 2 && text[start] == '\r' && text[start + 1] == '\n') start += 2;
    if (from < start) from = start;
    const char *end = len > from ? memmem(text + from, len - from, "\r\n\r\n", 4) : NULL;
    if (!end) return HTTP1_MORE;

    memset(out, 0, offsetof(http1_head, headers));
    out->header_count = 0;
    out->chunked = out->has_length = out->keep_alive = out->expects_continue = false;
    out->length = 0;
    out->host = (weir_str){NULL, 0};
    out->fault = NULL;
    out->bytes = (size_t)(end - text) + 4;

    char *p = text + start, *stop = text + out->bytes - 2;
    for (bool first = true; p < stop; first = false) {
        char *eol = memmem(p, (size_t)(stop - p), "\r\n", 2);
        size_t n = (size_t)(eol - p);
        http1_result r = first ? request_line(str_make(p, n), out) : header_line(p, n, out);
        if (r != HTTP1_OK) return r;
        p = eol + 2;
    }
    if (out->chunked && out->has_length) return bad(out, "content-length and transfer-encoding");
    if (out->chunked && out->protocol == SERVER_HTTP_1_0) return bad(out, "chunks in HTTP/1.0");
    if (out->protocol == SERVER_HTTP_1_1 && !out->host.ptr)
        return bad(out, "expected a host header");
    if (!out->host.ptr) out->host = STR("");
    return HTTP1_OK;
}

enum {
    SIZE_FIRST, /* at least one digit */
    SIZE,
    EXTENSION,
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    TRAILER_FIRST, /* at the beginning of a line behind the last chunk */
    TRAILER,
    TRAILER_LF,
    END_LF,
    DONE,
};

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* One byte outside of chunk data. False if it does not belong there. */
static bool step(http1_chunks *c, char byte) {
    int digit = hex_digit(byte);
    switch (c->state) {
    case SIZE_FIRST:
    case SIZE:
        if (digit >= 0) {
            if (c->left >> 58) return false;
            c->left = c->left * 16 + (uint64_t)digit;
            c->state = SIZE;
            return true;
        }
        if (c->state == SIZE_FIRST) return false;
        if (byte == '\r') {
            c->state = SIZE_LF;
        } else if (byte == ';' || byte == ' ' || byte == '\t') {
            c->state = EXTENSION;
            c->line = 0;
        } else {
            return false;
        }
        return true;
    case EXTENSION:
        if (byte == '\r') c->state = SIZE_LF;
        return byte != '\n' && ++c->line <= HTTP1_TRAILER_MAX;
    case SIZE_LF:
        c->state = c->left ? DATA : TRAILER_FIRST;
        c->line = 0;
        return byte == '\n';
    case DATA_CR:
        c->state = DATA_LF;
        return byte == '\r';
    case DATA_LF:
        c->state = SIZE_FIRST;
        return byte == '\n';
    case TRAILER_FIRST:
        c->state = byte == '\r' ? END_LF : TRAILER;
        return byte != '\n' && ++c->line <= HTTP1_TRAILER_MAX;
    case TRAILER:
        if (byte == '\r') c->state = TRAILER_LF;
        return byte != '\n' && ++c->line <= HTTP1_TRAILER_MAX;
    case TRAILER_LF:
        c->state = TRAILER_FIRST;
        return byte == '\n';
    default: /* END_LF */
        c->state = DONE;
        return byte == '\n';
    }
}

http1_result http1_chunks_next(http1_chunks *c, const char *in, size_t len, size_t *used,
                               weir_str *data) {
    *data = (weir_str){in, 0};
    size_t at = 0;
    while (at < len && c->state != DONE) {
        if (c->state == DATA) {
            size_t n = len - at < c->left ? len - at : (size_t)c->left;
            *data = str_make(in + at, n);
            c->left -= n;
            if (c->left == 0) c->state = DATA_CR;
            *used = at + n;
            return HTTP1_MORE;
        }
        if (!step(c, in[at++])) {
            c->fault = "the chunks of the body are malformed";
            *used = at;
            return HTTP1_BAD;
        }
    }
    *used = at;
    return c->state == DONE ? HTTP1_OK : HTTP1_MORE;
}
