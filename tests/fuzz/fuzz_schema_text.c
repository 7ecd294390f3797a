/*
 * Definitions of schemas as weir-local's Glue reads them: the first byte chooses the format; a NUL,
 * or the middle, parts one text from the other. Checked: a canonical form is no longer than its
 * text and its own canonical form, white space does not change it, and a difference is JSON, empty
 * for two equal texts.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "glue/glue.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition) {
    if (!condition) abort();
}

static void check_canonical(glue_format format, weir_str text) {
    arena *memory = arena_new((size_t)1 << 24);
    require(memory != NULL);
    weir_str once = glue_canonical(memory, format, text);
    require(once.ptr && once.len <= text.len);
    char *spread = arena_alloc(memory, (size_t)text.len + 2);
    require(spread != NULL);
    spread[0] = '\n';
    memcpy(spread + 1, text.ptr, (size_t)text.len);
    require(str_eq(glue_canonical(memory, format, str_make(spread, (size_t)text.len + 1)), once));
    /* What remains of a comment's signs when white space is gone may be a comment of its own. */
    if (format != GLUE_PROTOBUF) require(str_eq(glue_canonical(memory, format, once), once));
    arena_free(memory);
}

static void check_diff(glue_format format, weir_str a, weir_str b) {
    char why[32];
    if (!glue_is_valid(format, a, why, sizeof why) || !glue_is_valid(format, b, why, sizeof why))
        return;
    buf out;
    buf_init(&out, (size_t)1 << 26);
    require(glue_diff(format, a, b, &out));
    if (format != GLUE_PROTOBUF || (str_is_utf8(a) && str_is_utf8(b))) {
        weir_json_doc *doc = weir_json_read(buf_str(&out), WEIR_JSON_UNIQUE_KEYS, NULL);
        require(doc != NULL);
        weir_json_free(doc);
    }
    buf_free(&out);
    buf_init(&out, 64);
    require(glue_diff(format, a, a, &out) && str_eq(buf_str(&out), STR("[]")));
    buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1) return 0;
    glue_format format = (glue_format)(data[0] % GLUE_FORMATS);
    size_t len = size - 1;
    char *text = malloc(len + 1);
    require(text != NULL);
    memcpy(text, data + 1, len);
    const char *nul = memchr(text, 0, len);
    size_t at = nul ? (size_t)(nul - text) : len / 2, skip = nul != NULL;
    weir_str a = str_make(text, at), b = str_make(text + at + skip, len - at - skip);
    check_canonical(format, str_make(text, len));
    check_diff(format, a, b);
    free(text);
    return 0;
}
