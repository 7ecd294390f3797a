/*
 * core/cli/table.h - columns of text for people, as wide as they need to be.
 */
#ifndef WEIR_CLI_TABLE_H
#define WEIR_CLI_TABLE_H

#include "base/arena.h"
#include "base/buf.h"

#define TABLE_COLUMNS_MAX 12u

/* Zeroed but for these three, it is an empty table. Everything lives in `memory`. */
typedef struct table {
    arena *memory;
    const char *indent;
    uint32_t right; /* bit c: column c is aligned to the right */
    uint32_t columns;
    const char **cells;
    size_t rows, cap;
} table;

/* Adds a row; the first one says how many columns there are. Cells are copied, and made safe for a
 * terminal. Without memory the row is left out. */
void table_row(table *t, const char *const *cells, uint32_t count);
#define TABLE_ROW(t, ...)                                                                          \
    table_row((t), (const char *const[]){__VA_ARGS__},                                             \
              (uint32_t)(sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *)))
/* Lines of at most `width` characters (0 = any), without blanks at their ends. */
void table_print(const table *t, size_t width, buf *out);

/* `s` with control characters and bytes that are no UTF-8 as \n, \xNN. */
void buf_append_safe(buf *out, weir_str s);

#endif
