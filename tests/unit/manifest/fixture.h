/*
 * tests/unit/manifest/fixture.h - loading in one line, with a registry of made-up components.
 */
#ifndef TEST_MANIFEST_FIXTURE_H
#define TEST_MANIFEST_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/str.h"
#include "manifest/manifest.h"
#include "unit/manifest/fake_registry.h"

/* One loading: what came out of it. */
typedef struct loaded {
    arena *memory;
    diags *out;
    const pipeline *p;
    buf summary; /* "3:5 unknown-key\nw 4:1 deprecated-option\n", in file order */
    buf text;    /* as diags_print has it */
} loaded;

/* Loads a text as "dir/m.yaml" with the given --set assignments (NULL-terminated, may be NULL). */
loaded load_with(const char *text, const char *const *set);
loaded load_input(const char *text, size_t len, const manifest_input *input);
void loaded_free(loaded *l);

/* Asserts that the text gives exactly these diagnostics. */
void expect(const char *text, const char *summary);
/* The same, and that the printed text holds each of the further strings, NULL at the end. */
void expect_text(const char *text, const char *summary, ...) __attribute__((sentinel));

/* The least manifest around the options of one source "in" (type kin) and one sink. */
#define AROUND(options)                                                                            \
    "weir: 1\nname: t\nsources:\n  in:\n    type: kin\n    stream: s\n" options                    \
    "sinks:\n  out: {type: hole, input: in}\n"

const option_value *option_of(const loaded *l, const char *node_name, const char *key);
const node *node_of(const loaded *l, const char *name);

#endif
