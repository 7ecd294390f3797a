#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/str.h"
#include "manifest/manifest.h"

/* Texts of LIMIT_DIAGS diagnostics, LIMIT_ERROR_BYTES each with escapes. */
#define DIAGS_BYTES (4 * MIB)
#define DIAG_FILES 64u

typedef struct entry {
    diag d;
    unsigned rank; /* of its file */
    size_t number; /* order of arrival */
} entry;

struct diags {
    arena *memory;
    entry kept[LIMIT_DIAGS];
    size_t count;
    size_t errors, total;
    const char *files[DIAG_FILES];
    unsigned file_count;
};

diags *diags_new(void) {
    diags *d = mem_zalloc(sizeof *d);
    if (d == NULL) return NULL;
    d->memory = arena_new(DIAGS_BYTES);
    if (d->memory == NULL) {
        mem_free(d);
        return NULL;
    }
    return d;
}

void diags_free(diags *d) {
    if (d == NULL) return;
    arena_free(d->memory);
    mem_free(d);
}

static int compare(const void *x, const void *y) {
    const entry *a = x, *b = y;
    if (a->rank != b->rank) return a->rank < b->rank ? -1 : 1;
    if (a->d.line != b->d.line) return a->d.line < b->d.line ? -1 : 1;
    if (a->d.column != b->d.column) return a->d.column < b->d.column ? -1 : 1;
    return a->number < b->number ? -1 : a->number > b->number;
}

size_t diags_count(const diags *d) {
    return d->count;
}

const diag *diags_get(const diags *d, size_t index) {
    return index < d->count ? &d->kept[index].d : NULL;
}

size_t diags_errors(const diags *d) {
    return d->errors;
}

bool diags_full(const diags *d) {
    return d->count == LIMIT_DIAGS;
}

static unsigned file_rank(diags *d, const char *file) {
    for (unsigned i = 0; i < d->file_count; i++) {
        if (strcmp(d->files[i], file) == 0) return i;
    }
    if (d->file_count == DIAG_FILES) return DIAG_FILES;
    weir_str copy = arena_str(d->memory, str_of(file));
    if (copy.ptr == NULL) return DIAG_FILES;
    d->files[d->file_count] = copy.ptr;
    return d->file_count++;
}

void diags_file(diags *d, const char *file) {
    file_rank(d, file);
}

/* A copy in which nothing plays with a terminal or makes up lines of its own. */
static const char *clean(diags *d, const char *text, bool lines) {
    buf b;
    buf_init(&b, LIMIT_ERROR_BYTES * 4);
    weir_str s = str_of(text);
    if (s.len > LIMIT_ERROR_BYTES) s.len = LIMIT_ERROR_BYTES;
    for (size_t i = 0; i < s.len;) {
        char piece[STR_ESCAPE_MAX];
        size_t len = 0;
        bool line = lines && s.ptr[i] == '\n';
        i = str_escape_next(s, i, piece, &len);
        buf_append(&b, line ? "\n" : piece, line ? 1 : len);
    }
    weir_str copy = buf_ok(&b) ? arena_str(d->memory, buf_str(&b)) : (weir_str){0};
    buf_free(&b);
    return copy.ptr != NULL ? copy.ptr : "out of memory";
}

/* Two checks may stumble over one thing, most of all where aliases repeat a mapping. */
static bool is_known(const diags *d, const entry *e) {
    for (size_t i = 0; i < d->count; i++) {
        const diag *k = &d->kept[i].d;
        if (d->kept[i].rank == e->rank && k->line == e->d.line && k->column == e->d.column &&
            strcmp(k->code, e->d.code) == 0 && strcmp(k->text, e->d.text) == 0) {
            return true;
        }
    }
    return false;
}

void diags_add(diags *d, bool warning, const char *code, place at, const char *hint,
               const char *format, ...) {
    if (d->count < LIMIT_DIAGS) {
        char text[LIMIT_ERROR_BYTES];
        va_list args;
        va_start(args, format);
        vsnprintf(text, sizeof text, format, args);
        va_end(args);
        entry e = {.number = d->total};
        const char *file = at.file != NULL ? at.file : "";
        e.rank = file_rank(d, file);
        e.d = (diag){.warning = warning, .code = code, .line = at.line, .column = at.column};
        e.d.file = e.rank < DIAG_FILES ? d->files[e.rank] : clean(d, file, false);
        e.d.text = clean(d, text, false);
        if (is_known(d, &e)) return;
        if (hint != NULL && *hint != '\0') e.d.hint = clean(d, hint, true);
        size_t at_index = d->count++;
        while (at_index > 0 && compare(&d->kept[at_index - 1], &e) > 0) {
            d->kept[at_index] = d->kept[at_index - 1];
            at_index--;
        }
        d->kept[at_index] = e;
    }
    d->total++;
    if (!warning) d->errors++;
}

void diags_print(const diags *d, FILE *out) {
    for (size_t i = 0; i < d->count; i++) {
        const diag *e = &d->kept[i].d;
        if (*e->file != '\0') fprintf(out, "%s:", e->file);
        if (e->line != 0) fprintf(out, "%u:%u:", e->line, e->column);
        if (*e->file != '\0' || e->line != 0) fputc(' ', out);
        fprintf(out, "%s: %s [%s]\n", e->warning ? "warning" : "error", e->text, e->code);
        if (e->hint == NULL) continue;
        fputs("  hint: ", out);
        for (const char *c = e->hint; *c != '\0'; c++) {
            if (*c == '\n')
                fputs("\n    ", out);
            else
                fputc(*c, out);
        }
        fputc('\n', out);
    }
    if (d->total > d->count) {
        fprintf(out, "%zu more errors and warnings are not shown\n", d->total - d->count);
    }
}

void diags_json(const diags *d, buf *out) {
    buf_append_char(out, '[');
    for (size_t i = 0; i < d->count; i++) {
        const diag *e = &d->kept[i].d;
        buf_append_z(out, i == 0 ? "" : ",");
        buf_append_z(out, e->warning ? "{\"severity\":\"warning\"" : "{\"severity\":\"error\"");
        buf_append_z(out, ",\"code\":");
        buf_append_json(out, str_of(e->code));
        buf_append_z(out, ",\"file\":");
        buf_append_json(out, str_of(e->file));
        buf_printf(out, ",\"line\":%u,\"column\":%u,\"text\":", e->line, e->column);
        buf_append_json(out, str_of(e->text));
        if (e->hint != NULL) {
            buf_append_z(out, ",\"hint\":");
            buf_append_json(out, str_of(e->hint));
        }
        buf_append_char(out, '}');
    }
    buf_append_char(out, ']');
}
