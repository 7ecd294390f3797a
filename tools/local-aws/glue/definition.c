/*
 * Definitions as texts: when two are the same, whether one can be read, and what differs.
 */
#include "glue/glue.h"

#include <stdio.h>

#include "base/mem.h"

/* ---- canonical form ---- */

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f' || c == '\v';
}

/* The end of a quoted text that begins at `i`: one behind its closing quote. */
static size_t quoted_end(weir_str s, size_t i) {
    char quote = s.ptr[i++];
    while (i < s.len && s.ptr[i] != quote) i += s.ptr[i] == '\\' ? 2 : 1;
    return i < s.len ? i + 1 : (size_t)s.len;
}

static size_t minify_json(weir_str s, char *out) {
    size_t n = 0;
    for (size_t i = 0; i < s.len;) {
        if (s.ptr[i] == '"') {
            size_t end = quoted_end(s, i);
            memcpy(out + n, s.ptr + i, end - i);
            n += end - i;
            i = end;
        } else if (is_space(s.ptr[i])) {
            i++;
        } else {
            out[n++] = s.ptr[i++];
        }
    }
    return n;
}

/* One behind a comment that begins at `i`, or `i` if none does. */
static size_t comment_end(weir_str s, size_t i) {
    if (i + 1 >= s.len || s.ptr[i] != '/') return i;
    weir_str rest = str_make(s.ptr + i + 2, (size_t)s.len - i - 2);
    if (s.ptr[i + 1] == '/') {
        const char *end = rest.len ? memchr(rest.ptr, '\n', (size_t)rest.len) : NULL;
        return end ? (size_t)(end - s.ptr) : (size_t)s.len;
    }
    if (s.ptr[i + 1] != '*') return i;
    const char *end = rest.len ? memmem(rest.ptr, (size_t)rest.len, "*/", 2) : NULL;
    return end ? (size_t)(end - s.ptr) + 2 : (size_t)s.len;
}

static bool is_word(char c) {
    return aws_name_of(str_make(&c, 1), "_");
}

/* Tokens one behind the other; a space stays only where two words would grow together. */
static size_t minify_protobuf(weir_str s, char *out) {
    size_t n = 0;
    bool gap = false;
    for (size_t i = 0; i < s.len;) {
        size_t end = comment_end(s, i);
        if (end > i || is_space(s.ptr[i])) {
            gap = true;
            i = end > i ? end : i + 1;
            continue;
        }
        if (gap && n && is_word(out[n - 1]) && is_word(s.ptr[i])) out[n++] = ' ';
        gap = false;
        end = s.ptr[i] == '"' || s.ptr[i] == '\'' ? quoted_end(s, i) : i + 1;
        memcpy(out + n, s.ptr + i, end - i);
        n += end - i;
        i = end;
    }
    return n;
}

weir_str glue_canonical(arena *memory, glue_format format, weir_str definition) {
    char *out = arena_alloc(memory, (size_t)definition.len + 1);
    if (!out) return (weir_str){NULL, 0};
    size_t n =
        format == GLUE_PROTOBUF ? minify_protobuf(definition, out) : minify_json(definition, out);
    return str_make(out, n);
}

/* ---- validity ---- */

bool glue_is_valid(glue_format format, weir_str definition, char *why, size_t why_size) {
    if (format == GLUE_PROTOBUF) return true; /* that it is not blank is asked of every text */
    weir_json_fault fault = {0};
    weir_json_doc *doc = weir_json_read(definition, 0, &fault);
    if (!doc) {
        snprintf(why, why_size, "%s at line %u, column %u", fault.text ? fault.text : "no JSON",
                 fault.line, fault.column);
        return false;
    }
    const weir_value *root = weir_json_root(doc);
    bool text = root->type == WEIR_V_STRING && root->logical != WEIR_L_DECIMAL;
    bool ok = root->type == WEIR_V_OBJECT;
    if (format == GLUE_AVRO)
        ok = ok || text || root->type == WEIR_V_ARRAY;
    else
        ok = ok || root->type == WEIR_V_BOOL;
    if (!ok)
        snprintf(why, why_size, "expected %s",
                 format == GLUE_AVRO ? "a JSON object, array or string" : "a JSON object");
    weir_json_free(doc);
    return ok;
}

/* ---- differences, as RFC 6902 has them ---- */

typedef struct differ {
    buf *out;
    buf path; /* an RFC 6901 pointer */
    bool comma;
} differ;

static bool same(const weir_value *a, const weir_value *b);

static bool same_members(const weir_value *a, const weir_value *b) {
    const weir_value *key = a + 1;
    if (a->size != b->size) return false;
    for (uint32_t i = 0; i < a->size; i++, key = weir_value_next(key + 1)) {
        weir_str name = weir_value_str(key);
        const weir_value *other = weir_value_member(b, name.ptr, name.len);
        if (!other || !same(key + 1, other)) return false;
    }
    return true;
}

static bool same_elements(const weir_value *a, const weir_value *b) {
    const weir_value *x = a + 1, *y = b + 1;
    if (a->size != b->size) return false;
    for (uint32_t i = 0; i < a->size; i++, x = weir_value_next(x), y = weir_value_next(y))
        if (!same(x, y)) return false;
    return true;
}

static bool same(const weir_value *a, const weir_value *b) {
    if (a->type != b->type || a->logical != b->logical) return false;
    switch (a->type) {
    case WEIR_V_NULL:
        return true;
    case WEIR_V_STRING:
        return str_eq(weir_value_str(a), weir_value_str(b));
    case WEIR_V_OBJECT:
        return same_members(a, b);
    case WEIR_V_ARRAY:
        return same_elements(a, b);
    default:
        return a->as.u64 == b->as.u64; /* numbers and booleans, bit by bit */
    }
}

static void write_step(differ *d, const char *what, const weir_value *value) {
    if (d->comma) buf_append_char(d->out, ',');
    d->comma = true;
    buf_printf(d->out, "{\"op\":\"%s\",\"path\":", what);
    buf_append_json(d->out, buf_str(&d->path));
    if (value) {
        buf_append_z(d->out, ",\"value\":");
        if (buf_reserve(d->out, (size_t)weir_json_bound(value)))
            d->out->len += (size_t)weir_json_write(value, d->out->data + d->out->len);
    }
    buf_append_char(d->out, '}');
}

/* The pointer goes one level down; what it was is put back with leave(). */
static size_t enter_name(differ *d, weir_str name) {
    size_t before = d->path.len;
    buf_append_char(&d->path, '/');
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        if (c == '~' || c == '/')
            buf_append(&d->path, c == '~' ? "~0" : "~1", 2);
        else
            buf_append_char(&d->path, c);
    }
    return before;
}

static size_t enter_index(differ *d, uint32_t index) {
    size_t before = d->path.len;
    buf_printf(&d->path, "/%u", index);
    return before;
}

static void leave(differ *d, size_t before) {
    if (!d->path.failed) d->path.len = before;
}

static void compare(differ *d, const weir_value *a, const weir_value *b);

static void compare_members(differ *d, const weir_value *a, const weir_value *b) {
    const weir_value *key = a + 1;
    for (uint32_t i = 0; i < a->size; i++, key = weir_value_next(key + 1)) {
        weir_str name = weir_value_str(key);
        if (weir_value_member(a, name.ptr, name.len) != key + 1) continue; /* the last one counts */
        const weir_value *other = weir_value_member(b, name.ptr, name.len);
        size_t before = enter_name(d, name);
        if (other)
            compare(d, key + 1, other);
        else
            write_step(d, "remove", NULL);
        leave(d, before);
    }
    key = b + 1;
    for (uint32_t i = 0; i < b->size; i++, key = weir_value_next(key + 1)) {
        weir_str name = weir_value_str(key);
        if (weir_value_member(b, name.ptr, name.len) != key + 1 ||
            weir_value_member(a, name.ptr, name.len))
            continue;
        size_t before = enter_name(d, name);
        write_step(d, "add", key + 1);
        leave(d, before);
    }
}

/* Where the elements stand; NULL without memory. */
static const weir_value **elements(const weir_value *list) {
    const weir_value **out = mem_array((size_t)list->size + 1, sizeof *out);
    const weir_value *e = list + 1;
    for (uint32_t i = 0; out && i < list->size; i++, e = weir_value_next(e)) out[i] = e;
    return out;
}

/* What both begin and end with is left out; what lies between is compared place by place, and the
 * rest of the longer one is removed or added. */
static void compare_lists(differ *d, const weir_value **a, uint32_t a_count, const weir_value **b,
                          uint32_t b_count) {
    uint32_t least = a_count < b_count ? a_count : b_count, first = 0, last = 0;
    while (first < least && same(a[first], b[first])) first++;
    while (last < least - first && same(a[a_count - 1 - last], b[b_count - 1 - last])) last++;
    uint32_t both = least - last;
    for (uint32_t i = first; i < both; i++) {
        size_t before = enter_index(d, i);
        compare(d, a[i], b[i]);
        leave(d, before);
    }
    for (uint32_t i = a_count - last; i-- > both;) {
        size_t before = enter_index(d, i);
        write_step(d, "remove", NULL);
        leave(d, before);
    }
    for (uint32_t i = both; i < b_count - last; i++) {
        size_t before = enter_index(d, i);
        write_step(d, "add", b[i]);
        leave(d, before);
    }
}

static void compare_elements(differ *d, const weir_value *a, const weir_value *b) {
    const weir_value **from = elements(a), **to = elements(b);
    if (from && to)
        compare_lists(d, from, a->size, to, b->size);
    else
        d->out->failed = true;
    mem_free(from);
    mem_free(to);
}

static void compare(differ *d, const weir_value *a, const weir_value *b) {
    if (same(a, b)) return;
    if (a->type == WEIR_V_OBJECT && b->type == WEIR_V_OBJECT)
        compare_members(d, a, b);
    else if (a->type == WEIR_V_ARRAY && b->type == WEIR_V_ARRAY)
        compare_elements(d, a, b);
    else
        write_step(d, "replace", b);
}

/* A text that is no JSON, as one value. */
static weir_value as_text(weir_str s) {
    return (weir_value){.type = WEIR_V_STRING, .size = (uint32_t)s.len, .as.ptr = s.ptr};
}

bool glue_diff(glue_format format, weir_str a, weir_str b, buf *out) {
    differ d = {.out = out};
    buf_init(&d.path, (size_t)1 << 20);
    buf_append_char(out, '[');
    if (format == GLUE_PROTOBUF) {
        weir_value x = as_text(a), y = as_text(b);
        compare(&d, &x, &y);
    } else {
        weir_json_doc *x = weir_json_read(a, 0, NULL), *y = weir_json_read(b, 0, NULL);
        if (x && y)
            compare(&d, weir_json_root(x), weir_json_root(y));
        else
            out->failed = true;
        weir_json_free(x);
        weir_json_free(y);
    }
    buf_append_char(out, ']');
    bool ok = buf_ok(out) && buf_ok(&d.path);
    buf_free(&d.path);
    return ok;
}
