#include "sts/form.h"

#include "base/str.h"

static int nibble(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* What is no escape stays as it is. */
static weir_str decode(weir_str s, arena *memory) {
    char *out = arena_alloc(memory, (size_t)s.len + 1);
    if (!out) return (weir_str){NULL, 0};
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        int a = -1, b = -1;
        if (s.ptr[i] == '%' && i + 2 < s.len) {
            a = nibble(s.ptr[i + 1]);
            b = nibble(s.ptr[i + 2]);
        }
        if (a >= 0 && b >= 0) {
            out[n++] = (char)(a * 16 + b);
            i += 2;
        } else {
            out[n++] = s.ptr[i] == '+' ? ' ' : s.ptr[i];
        }
    }
    out[n] = '\0';
    return str_make(out, n);
}

bool form_read(weir_str text, arena *memory, form *out) {
    uint32_t count = text.len > 0;
    for (size_t i = 0; i < text.len; i++) {
        count += text.ptr[i] == '&';
        if (count > FORM_FIELDS_MAX) return false;
    }
    *out = (form){arena_array(memory, count + 1, sizeof(form_field)), 0};
    if (!out->fields) return false;
    const char *at = text.ptr, *end = text.ptr + text.len;
    while (at < end) {
        const char *next = memchr(at, '&', (size_t)(end - at));
        if (!next) next = end;
        const char *equals = memchr(at, '=', (size_t)(next - at));
        form_field *f = &out->fields[out->count++];
        f->name = decode(str_make(at, (size_t)((equals ? equals : next) - at)), memory);
        f->value =
            equals ? decode(str_make(equals + 1, (size_t)(next - equals) - 1), memory) : STR("");
        if (!f->name.ptr || !f->value.ptr) return false;
        at = next + 1;
    }
    return true;
}

weir_str form_get(const form *f, const char *name) {
    for (uint32_t i = 0; i < f->count; i++)
        if (str_eq_z(f->fields[i].name, name)) return f->fields[i].value;
    return (weir_str){NULL, 0};
}
