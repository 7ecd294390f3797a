#include "manifest/load.h"

#include <stdarg.h>

#include "base/buf.h"
#include "base/limits.h"

/* Of a user's word in a message. */
#define SHOWN_BYTES 80u

static void report(load *l, bool warning, const char *code, place at, const char *hint,
                   const char *format, va_list args) {
    if (diags_full(l->out)) { /* only counted: making the text would be wasted */
        diags_add(l->out, warning, code, at, NULL, "%s", "");
        return;
    }
    char text[LIMIT_ERROR_BYTES];
    vsnprintf(text, sizeof text, format, args);
    diags_add(l->out, warning, code, at, hint, "%s", text);
}

void load_error(load *l, const char *code, place at, const char *hint, const char *format, ...) {
    va_list args;
    va_start(args, format);
    report(l, false, code, at, hint, format, args);
    va_end(args);
}

void load_warning(load *l, const char *code, place at, const char *hint, const char *format, ...) {
    va_list args;
    va_start(args, format);
    report(l, true, code, at, hint, format, args);
    va_end(args);
}

void *load_array(load *l, size_t count, size_t size) {
    void *p = arena_array(l->memory, count > 0 ? count : 1, size);
    if (p == NULL) l->no_memory = true;
    return p;
}

weir_str load_keep(load *l, weir_str s) {
    if (s.len == 0) return str_of("");
    weir_str copy = arena_str(l->memory, s);
    if (copy.ptr != NULL) return copy;
    l->no_memory = true;
    return str_of("");
}

void load_mark_outside(load *l, weir_str kept, weir_str source) {
    if (kept.len == 0) return; /* "" has no place of its own, and nothing to tell */
    outside_text *o = arena_alloc(l->scratch, sizeof *o);
    if (o == NULL) {
        l->no_memory = true;
        return;
    }
    *o = (outside_text){.next = l->outside, .ptr = kept.ptr, .source = source};
    l->outside = o;
}

weir_str load_outside(const load *l, weir_str kept) {
    for (const outside_text *o = l->outside; o != NULL && kept.len > 0; o = o->next) {
        if (o->ptr == kept.ptr) return o->source;
    }
    return (weir_str){0};
}

const char *load_printf(load *l, const char *format, ...) {
    va_list args;
    va_start(args, format);
    const char *text = arena_vprintf(l->scratch, format, args);
    va_end(args);
    return text != NULL ? text : "...";
}

const char *load_escape(load *l, weir_str s) {
    if (diags_full(l->out)) return "..."; /* nobody will see it */
    weir_str source = load_outside(l, s);
    if (source.len > 0) s = source;
    char text[(SHOWN_BYTES + 1) * STR_ESCAPE_MAX];
    size_t len = 0, i = 0;
    while (i < s.len && i < SHOWN_BYTES) {
        size_t piece = 0;
        i = str_escape_next(s, i, text + len, &piece);
        len += piece;
    }
    return load_printf(l, "%.*s%s", (int)len, text, i < s.len ? "..." : "");
}

const char *load_show(load *l, weir_str s) {
    return load_printf(l, "'%s'", load_escape(l, s));
}

const char *load_nearest(load *l, weir_str word, const weir_str *candidates, size_t count) {
    if (diags_full(l->out) || load_outside(l, word).len > 0) return NULL;
    int i = str_nearest(word, candidates, count);
    return i < 0 ? NULL : load_printf(l, "did you mean %s?", load_show(l, candidates[i]));
}

const char *load_list(load *l, const weir_str *words, size_t count) {
    buf b;
    buf_init(&b, LIMIT_ERROR_BYTES);
    for (size_t i = 0; i < count; i++) {
        if (i > 0) buf_append_z(&b, i + 1 == count ? " or " : ", ");
        buf_append_str(&b, words[i]);
    }
    const char *text = buf_ok(&b) && b.data != NULL ? load_printf(l, "%s", b.data) : "...";
    buf_free(&b);
    return text;
}
