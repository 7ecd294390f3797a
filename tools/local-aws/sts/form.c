#include "sts/form.h"

#include "aws/text.h"

static weir_str decode(weir_str s, arena *memory) {
    char *out = arena_alloc(memory, (size_t)s.len + 1);
    if (!out) return (weir_str){NULL, 0};
    size_t n = aws_percent_decode(s, true, out);
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
    while (text.len) {
        weir_str value = aws_until(&text, '&'), name = aws_until(&value, '=');
        form_field *f = &out->fields[out->count++];
        f->name = decode(name, memory);
        f->value = decode(value, memory);
        if (!f->name.ptr || !f->value.ptr) return false;
    }
    return true;
}

weir_str form_get(const form *f, const char *name) {
    for (uint32_t i = 0; i < f->count; i++)
        if (str_eq_z(f->fields[i].name, name)) return f->fields[i].value;
    return (weir_str){NULL, 0};
}
