/*
 * Prefixes of objects as weir-local's Firehose reads them. Checked: each evaluates, valid or not,
 * to the same text each time; what has no expression stays as it is, with the date behind it; what
 * is valid as Prefix is so as ErrorOutputPrefix.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "firehose/firehose.h"

#define MOMENT_MS INT64_C(1767225600123)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition) {
    if (!condition) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = malloc(size + 1), why[24];
    require(text != NULL);
    if (size) memcpy(text, data, size);
    weir_str prefix = str_make(text, size);
    bool error = prefix_is_valid(prefix, true, why, sizeof why);
    bool plain = prefix_is_valid(prefix, false, why, sizeof why);
    require(error || !plain);
    buf first, second;
    buf_init(&first, (size_t)1 << 20);
    buf_init(&second, (size_t)1 << 20);
    prefix_evaluate(prefix, MOMENT_MS, 1, &first);
    prefix_evaluate(prefix, MOMENT_MS, 1, &second);
    require(str_eq(buf_str(&first), buf_str(&second)));
    if (!prefix_has(prefix, "!{")) {
        require(str_starts(buf_str(&first), prefix));
        require(str_ends(buf_str(&first), STR("2026/01/01/00/")) && first.len == size + 14);
    }
    buf_free(&first);
    buf_free(&second);
    free(text);
    return 0;
}
