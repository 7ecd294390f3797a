#include "cli/table.h"

#include "base/str.h"

/* Characters, as a terminal counts them: all but the continuation bytes of UTF-8. */
static size_t width_of(const char *z) {
    size_t n = 0;
    for (; *z != '\0'; z++)
        if (((unsigned char)*z & 0xc0) != 0x80) n++;
    return n;
}

void buf_append_safe(buf *out, weir_str s) {
    char piece[STR_ESCAPE_MAX];
    for (size_t at = 0, len = 0; at < s.len; buf_append(out, piece, len))
        at = str_escape_next(s, at, piece, &len);
}

void table_row(table *t, const char *const *cells, uint32_t count) {
    if (t->columns == 0) t->columns = count < TABLE_COLUMNS_MAX ? count : TABLE_COLUMNS_MAX;
    if (t->rows == t->cap) {
        size_t cap = t->cap > 0 ? 2 * t->cap : 32;
        const char **more = arena_array(t->memory, cap * t->columns, sizeof *more);
        if (more == NULL) return;
        for (size_t i = 0; i < t->rows * t->columns; i++) more[i] = t->cells[i];
        t->cells = more;
        t->cap = cap;
    }
    for (uint32_t c = 0; c < t->columns; c++) {
        buf safe;
        buf_init(&safe, 65536);
        if (c < count) buf_append_safe(&safe, str_of(cells[c]));
        weir_str copy = arena_str(t->memory, buf_ok(&safe) ? buf_str(&safe) : STR("?"));
        buf_free(&safe);
        if (copy.ptr == NULL) return;
        t->cells[t->rows * t->columns + c] = copy.ptr;
    }
    t->rows++;
}

static void pad(buf *out, size_t n) {
    while (n-- > 0) buf_append_char(out, ' ');
}

/* Cuts what was added behind `from` to `width` characters, never within one. */
static void cut(buf *out, size_t from, size_t width) {
    size_t n = 0;
    for (size_t at = from; at < out->len; at++) {
        if (((unsigned char)out->data[at] & 0xc0) == 0x80 || n++ < width) continue;
        out->len = at;
        return;
    }
}

void table_print(const table *t, size_t width, buf *out) {
    size_t widths[TABLE_COLUMNS_MAX] = {0};
    for (size_t i = 0; i < t->rows * t->columns; i++) {
        size_t w = width_of(t->cells[i]);
        if (w > widths[i % t->columns]) widths[i % t->columns] = w;
    }
    for (size_t r = 0; r < t->rows; r++) {
        size_t from = out->len;
        buf_append_z(out, t->indent != NULL ? t->indent : "");
        for (uint32_t c = 0; c < t->columns; c++) {
            const char *cell = t->cells[r * t->columns + c];
            size_t gap = widths[c] - width_of(cell);
            if (c > 0) pad(out, 2);
            if ((t->right >> c & 1) != 0) pad(out, gap);
            buf_append_z(out, cell);
            if ((t->right >> c & 1) == 0) pad(out, gap);
        }
        while (buf_ok(out) && out->len > from && out->data[out->len - 1] == ' ') out->len--;
        if (width > 0 && buf_ok(out)) cut(out, from, width);
        buf_append_char(out, '\n');
    }
}
