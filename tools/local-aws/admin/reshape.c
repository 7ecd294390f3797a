#include "admin/reshape.h"

#include <stdio.h>

#include "aws/aws.h"
#include "base/arena.h"
#include "base/mem.h"
#include "base/str.h"
#include "cbor.h"

#define TEXT_MAX ((size_t)256 << 20)

typedef struct writer {
    const rule *r;
    buf *out;
    bool cbor, error;
} writer;

bool reshape_wanted(const rule *r) {
    return r->has_error_type || r->exponents || r->nulls;
}

/* ---- writing ---- */

/* One item of CBOR that needs at most `room` bytes. */
static weir_cbor_writer item(writer *w, size_t room) {
    weir_cbor_writer c;
    bool ok = buf_reserve(w->out, room);
    weir_cbor_writer_init(&c, ok ? w->out->data + w->out->len : NULL, ok ? room : 0);
    return c;
}

static void took(writer *w, const weir_cbor_writer *c) {
    if (weir_cbor_writer_ok(c)) w->out->len += (size_t)c->len;
}

static void put_text(writer *w, weir_str s) {
    if (!w->cbor) {
        buf_append_json(w->out, s);
        return;
    }
    weir_cbor_writer c = item(w, (size_t)s.len + 9);
    weir_cbor_put_text(&c, s);
    took(w, &c);
}

static void put_null(writer *w) {
    static const weir_value null = {.type = WEIR_V_NULL};
    if (!w->cbor) {
        buf_append_z(w->out, "null");
        return;
    }
    weir_cbor_writer c = item(w, 9);
    weir_cbor_put_value(&c, &null);
    took(w, &c);
}

static void put_mark(writer *w, char json, void (*cbor)(weir_cbor_writer *c)) {
    if (!w->cbor) {
        buf_append_char(w->out, json);
        return;
    }
    weir_cbor_writer c = item(w, 9);
    cbor(&c);
    took(w, &c);
}

static void put_scalar(writer *w, const weir_value *v) {
    size_t text = v->type == WEIR_V_STRING || v->type == WEIR_V_BYTES ? v->size : 0;
    if (w->cbor) {
        weir_cbor_writer c = item(w, text + 24);
        weir_cbor_put_value(&c, v);
        took(w, &c);
    } else if (buf_reserve(w->out, (size_t)weir_json_bound(v))) {
        w->out->len += (size_t)weir_json_write(v, w->out->data + w->out->len);
    }
}

/* 1763750000.123 as 1.763750000123E9. False: it is no time that has such a form. */
static bool put_exponent(writer *w, const weir_value *v) {
    double seconds;
    if (!aws_seconds(v, &seconds) || !(seconds >= 10 && seconds < 1e12)) return false;
    char digits[32];
    int n = snprintf(digits, sizeof digits, "%lld", (long long)(seconds * 1000 + 0.5));
    int last = n;
    while (last > 2 && digits[last - 1] == '0') last--;
    buf_printf(w->out, "%c.%.*sE%d", digits[0], last - 1, digits + 1, n - 4);
    return true;
}

static void put_type(writer *w, weir_str type) {
    buf text;
    buf_init(&text, 8192);
    buf_append_str(&text, w->r->type_prefix);
    buf_append_str(&text, type);
    buf_append_str(&text, w->r->type_suffix);
    put_text(w, buf_str(&text));
    buf_free(&text);
}

static void put_name(writer *w, weir_str name, bool *comma) {
    if (!w->cbor && *comma) buf_append_char(w->out, ',');
    *comma = true;
    put_text(w, name);
    if (!w->cbor) buf_append_char(w->out, ':');
}

static void put(writer *w, const weir_value *v, bool top);

static void put_object(writer *w, const weir_value *v, bool top) {
    const weir_value *key = v + 1;
    bool comma = false, typed = w->error && top && w->r->has_error_type;
    put_mark(w, '{', weir_cbor_put_map_open);
    for (uint32_t i = 0; i < v->size; i++, key = weir_value_next(key + 1)) {
        weir_str name = weir_value_str(key);
        bool type = typed && str_eq_z(name, "__type") && key[1].type == WEIR_V_STRING;
        if (type && !w->r->type_in_body) continue;
        put_name(w, name, &comma);
        if (type)
            put_type(w, weir_value_str(key + 1));
        else if (w->cbor || !w->r->exponents || !str_ends(name, STR("Timestamp")) ||
                 !put_exponent(w, key + 1))
            put(w, key + 1, false);
    }
    const weir_value *list = w->r->nulls, *one = list ? list + 1 : NULL;
    for (uint32_t i = 0; list && i < list->size; i++, one++) {
        bool there = false;
        key = v + 1;
        for (uint32_t k = 0; k < v->size; k++, key = weir_value_next(key + 1))
            there = there || str_eq(weir_value_str(key), weir_value_str(one));
        if (there) continue;
        put_name(w, weir_value_str(one), &comma);
        put_null(w);
    }
    put_mark(w, '}', weir_cbor_put_break);
}

/* As deep as what was read: the parsers limit it. */
static void put(writer *w, const weir_value *v, bool top) {
    if (v->type == WEIR_V_OBJECT) {
        put_object(w, v, top);
    } else if (v->type == WEIR_V_ARRAY) {
        const weir_value *one = v + 1;
        put_mark(w, '[', weir_cbor_put_array_open);
        for (uint32_t i = 0; i < v->size; i++, one = weir_value_next(one)) {
            if (i && !w->cbor) buf_append_char(w->out, ',');
            put(w, one, false);
        }
        put_mark(w, ']', weir_cbor_put_break);
    } else {
        put_scalar(w, v);
    }
}

/* ---- reading ---- */

static weir_value *grow(void *opaque, uint32_t used, uint32_t capacity, uint32_t *new_capacity) {
    weir_json_parser *p = opaque;
    (void)used;
    uint32_t room = capacity < 1024 ? 1024 : capacity * 2;
    weir_value *nodes = mem_realloc(p->nodes, room * sizeof *nodes);
    if (!nodes) return NULL;
    p->nodes = nodes;
    *new_capacity = room;
    return nodes;
}

static arena *strings; /* of the document being read; one thread */

static char *alloc(void *opaque, uint64_t size) {
    (void)opaque;
    return arena_alloc(strings, (size_t)size);
}

bool reshape_text(const rule *r, bool cbor, bool error, weir_str text, buf *out) {
    writer w = {r, out, cbor, error};
    if (!text.len) return false;
    weir_json_parser p = {.grow = grow, .alloc = alloc, .flags = cbor ? WEIR_CBOR_TIME_MS : 0};
    p.opaque = &p;
    p.nodes = mem_array(1024, sizeof *p.nodes);
    p.capacity = 1024;
    strings = arena_new(TEXT_MAX);
    bool ok = p.nodes && strings &&
              (cbor ? weir_cbor_parse(&p, text) : weir_json_parse(&p, text)) == WEIR_OK;
    if (ok) put(&w, p.nodes, true);
    weir_json_parser_free(&p);
    mem_free(p.nodes);
    arena_free(strings);
    return ok && buf_ok(out);
}

/* ---- an answer ---- */

static void reshape_header(const rule *r, exchange *x) {
    weir_str type = exchange_answer_header(x, "x-amzn-errortype");
    if (!type.ptr) return;
    char text[1024];
    snprintf(text, sizeof text, "%.*s%.*s%.*s", STR_FMT(r->type_prefix), STR_FMT(type),
             STR_FMT(r->type_suffix));
    exchange_replace_header(x, "x-amzn-errortype",
                            r->type_in_header ? str_of(text) : (weir_str){NULL, 0});
}

static void release(void *opaque) {
    mem_free(opaque);
}

void reshape_answer(const rule *r, exchange *x) {
    bool error = exchange_answer_status(x) >= 400;
    if (!r->exponents && !r->nulls && !error) return;
    if (error && r->has_error_type) reshape_header(r, x);
    weir_str type = exchange_answer_header(x, "content-type");
    bool cbor = type.len && memmem(type.ptr, (size_t)type.len, "cbor", 4);
    buf before, after;
    buf_init(&before, TEXT_MAX);
    buf_init(&after, TEXT_MAX);
    exchange_gather(x, &before);
    if (buf_ok(&before) && reshape_text(r, cbor, error, buf_str(&before), &after)) {
        exchange_forget_body(x);
        exchange_refer(x, after.data, after.len, release, after.data);
    } else {
        buf_free(&after);
    }
    buf_free(&before);
}
