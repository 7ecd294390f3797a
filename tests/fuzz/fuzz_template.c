/*
 * tests/fuzz/fuzz_template.c - record templates and the paths of fields.
 *
 * Beyond not crashing: a fault lies inside the text; a program keeps its source, has no part that
 * says nothing, and its flags are what its parts say; what a program prints as is the same program
 * again; a path alone is the path of "${...}".
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/limits.h"
#include "base/str.h"
#include "manifest/template.h"

#define MEMORY_BYTES (64u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds) {
    if (!holds) abort();
}

static void print_text(buf *b, weir_str text) {
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '$') buf_append_char(b, '$');
        buf_append_char(b, text.ptr[i]);
    }
}

static void print_path(buf *b, const template_path *path) {
    for (size_t i = 0; i < path->len; i++) {
        const template_step *step = &path->steps[i];
        if (i == 0) buf_append_char(b, '.');
        if (step->name.ptr != NULL) {
            must(memchr(step->name.ptr, '"', step->name.len) == NULL);
            buf_append_z(b, "[\"");
            buf_append_str(b, step->name);
            buf_append_z(b, "\"]");
        } else {
            buf_printf(b, "[%u]", step->index);
        }
    }
}

static void print_part(buf *b, const template_part *part) {
    static const char *const words[] = {
        [PART_KEY] = "key",           [PART_VALUE] = "value", [PART_HEADER] = "header:",
        [PART_SPLIT] = "split",       [PART_TIME] = "time:",  [PART_NOW] = "now:",
        [PART_POSITION] = "position", [PART_UUID] = "uuid",   [PART_RANDOM] = "random",
    };
    if (part->kind == PART_LITERAL) {
        must(part->text.len > 0 && part->filter_count == 0);
        print_text(b, part->text);
        return;
    }
    buf_append_z(b, "${");
    if (part->kind == PART_FIELD)
        print_path(b, &part->path);
    else
        buf_append_z(b, words[part->kind]);
    if (part->kind == PART_HEADER || part->kind == PART_TIME || part->kind == PART_NOW) {
        must(part->text.len > 0);
        buf_append_str(b, part->text);
    }
    for (size_t i = 0; i < part->filter_count; i++) {
        const template_filter *filter = &part->filters[i];
        must(filter->kind == FILTER_URLENCODE || filter->kind == FILTER_DEFAULT);
        buf_append_z(b, filter->kind == FILTER_URLENCODE ? "|urlencode" : "|default:");
        buf_append_str(b, filter->argument);
    }
    buf_append_char(b, '}');
}

static bool same_path(const template_path *a, const template_path *b) {
    if (a->len != b->len) return false;
    for (size_t i = 0; i < a->len; i++) {
        const template_step *x = &a->steps[i], *y = &b->steps[i];
        if ((x->name.ptr == NULL) != (y->name.ptr == NULL)) return false;
        if (x->name.ptr != NULL ? !str_eq(x->name, y->name) : x->index != y->index) return false;
    }
    return true;
}

static bool same_part(const template_part *a, const template_part *b) {
    if (a->kind != b->kind || !str_eq(a->text, b->text) || !same_path(&a->path, &b->path) ||
        a->filter_count != b->filter_count) {
        return false;
    }
    for (size_t i = 0; i < a->filter_count; i++) {
        if (a->filters[i].kind != b->filters[i].kind ||
            !str_eq(a->filters[i].argument, b->filters[i].argument)) {
            return false;
        }
    }
    return true;
}

static void check_flags(const template_program *p) {
    bool constant = true, tape = false, time = false, headers = false, key = false, meta = false;
    for (size_t i = 0; i < p->count; i++) {
        const template_part *part = &p->parts[i];
        bool weir = part->kind == PART_HEADER && str_starts(part->text, STR("weir."));
        if (part->kind != PART_LITERAL) constant = false;
        if (part->kind == PART_FIELD) tape = true;
        if (part->kind == PART_TIME) time = true;
        if (part->kind == PART_HEADER && !weir) headers = true;
        if (part->kind == PART_KEY) key = true;
        if (weir) meta = true;
        /* Neighbouring literals would be one. */
        must(i == 0 || part->kind != PART_LITERAL || p->parts[i - 1].kind != PART_LITERAL);
    }
    must(p->constant == constant && p->needs_tape == tape && p->needs_time == time);
    must(p->needs_headers == headers && p->needs_key == key && p->needs_meta == meta);
}

static void check_program(const template_program *p, arena *memory, weir_error *err) {
    buf b;
    const template_program *again = NULL;
    buf_init(&b, MEMORY_BYTES);
    for (size_t i = 0; i < p->count; i++) print_part(&b, &p->parts[i]);
    must(buf_ok(&b));
    /* Names in brackets are longer than names behind a dot: what is printed may be too large. */
    if (b.len > 0 && b.len <= LIMIT_TEMPLATE_BYTES) {
        must(template_parse(buf_str(&b), memory, &again, NULL, err) == WEIR_OK);
        must(again->count == p->count);
        for (size_t i = 0; i < p->count; i++) must(same_part(&p->parts[i], &again->parts[i]));
    }
    buf_free(&b);
}

static void try_template(weir_str text, arena *memory, weir_error *err) {
    const template_program *p = NULL;
    size_t at = SIZE_MAX;
    weir_status status = template_parse(text, memory, &p, &at, err);
    must(status == WEIR_OK || status == WEIR_E_INVALID_ARG || status == WEIR_E_TOO_LARGE);
    must((status == WEIR_E_TOO_LARGE) == (text.len > LIMIT_TEMPLATE_BYTES));
    if (status != WEIR_OK) {
        must(p == NULL && at <= text.len && *error_text(err) != '\0');
        return;
    }
    must(p != NULL && str_eq(p->source, text) && (p->count == 0) == (text.len == 0));
    check_flags(p);
    check_program(p, memory, err);
}

static void try_path(weir_str text, arena *memory, weir_error *err) {
    template_path path = {0};
    size_t at = SIZE_MAX;
    weir_status status = template_parse_path(text, memory, &path, &at, err);
    must(status == WEIR_OK || status == WEIR_E_INVALID_ARG);
    if (status != WEIR_OK) {
        must(at <= text.len && *error_text(err) != '\0');
        return;
    }
    must(path.len > 0 && path.len <= LIMIT_TREE_DEPTH);
    buf b;
    const template_program *p = NULL;
    buf_init(&b, MEMORY_BYTES);
    buf_printf(&b, "${%.*s}", (int)text.len, text.ptr);
    /* A quoted name may hold a brace, which ends a placeholder. */
    if (memchr(text.ptr, '}', text.len) == NULL && memchr(text.ptr, 0, text.len) == NULL &&
        b.len <= LIMIT_TEMPLATE_BYTES) {
        must(template_parse(buf_str(&b), memory, &p, NULL, err) == WEIR_OK);
        must(p->count == 1 && p->parts[0].kind == PART_FIELD);
        must(same_path(&p->parts[0].path, &path) && p->parts[0].filter_count == 0);
    }
    buf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    arena *memory = arena_new(MEMORY_BYTES);
    weir_error *err = error_new();
    must(memory != NULL && err != NULL);
    weir_str text = {size > 0 ? (const char *)data : "", size};
    try_template(text, memory, err);
    error_clear(err);
    if (size <= LIMIT_TEMPLATE_BYTES) try_path(text, memory, err);
    (void)template_is_record(text);
    error_free(err);
    arena_free(memory);
    return 0;
}
