#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

loaded load_input(const char *text, size_t len, const manifest_input *input) {
    loaded l = {.memory = arena_new(64u << 20), .out = diags_new()};
    assert_non_null(l.memory);
    assert_non_null(l.out);
    /* A copy of exactly this size, so that a read past its end is seen. */
    char *copy = malloc(len > 0 ? len : 1);
    assert_non_null(copy);
    memcpy(copy, text, len);
    l.p = manifest_load_text(input, str_make(copy, len), NULL, l.memory, l.out);
    free(copy);
    buf_init(&l.summary, 1 << 20);
    buf_append_z(&l.summary, "");
    for (size_t i = 0; i < diags_count(l.out); i++) {
        const diag *d = diags_get(l.out, i);
        buf_printf(&l.summary, "%s%u:%u %s\n", d->warning ? "w " : "", d->line, d->column, d->code);
    }
    char *printed = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&printed, &size);
    diags_print(l.out, f);
    fclose(f);
    buf_init(&l.text, 1 << 20);
    buf_append(&l.text, printed, size);
    free(printed);
    assert_int_equal(l.p == NULL, diags_errors(l.out) > 0);
    return l;
}

loaded load_with(const char *text, const char *const *set) {
    manifest_input input = {.path = "dir/m.yaml", .set = set};
    while (set != NULL && set[input.set_count] != NULL) input.set_count++;
    return load_input(text, strlen(text), &input);
}

void loaded_free(loaded *l) {
    arena_free(l->memory);
    diags_free(l->out);
    buf_free(&l->summary);
    buf_free(&l->text);
}

static const char *z(const buf *b) {
    return b->data != NULL ? b->data : "";
}

void expect(const char *text, const char *summary) {
    loaded l = load_with(text, NULL);
    if (strcmp(z(&l.summary), summary) != 0) print_error("%s", z(&l.text));
    assert_string_equal(z(&l.summary), summary);
    loaded_free(&l);
}

void expect_text(const char *text, const char *summary, ...) {
    loaded l = load_with(text, NULL);
    if (strcmp(z(&l.summary), summary) != 0) print_error("%s", z(&l.text));
    assert_string_equal(z(&l.summary), summary);
    va_list args;
    va_start(args, summary);
    for (const char *s; (s = va_arg(args, const char *)) != NULL;) {
        if (strstr(z(&l.text), s) == NULL) print_error("no '%s' in:\n%s", s, z(&l.text));
        assert_non_null(strstr(z(&l.text), s));
    }
    va_end(args);
    loaded_free(&l);
}

const node *node_of(const loaded *l, const char *name) {
    assert_non_null(l->p);
    for (size_t i = 0; i < l->p->node_count; i++) {
        if (str_eq_z(l->p->nodes[i]->name, name)) return l->p->nodes[i];
    }
    fail_msg("no node %s", name);
    return NULL;
}

const option_value *option_of(const loaded *l, const char *node_name, const char *key) {
    return options_get(&node_of(l, node_name)->options, str_of(key));
}
