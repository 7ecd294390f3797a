/*
 * The condition of `filter`: the first line is a condition, the rest a JSON record. Whatever both
 * are, compiling ends, and "not (X)" holds exactly where X does not.
 */
#include <stdlib.h>
#include <string.h>

#include "weir/json.h"

/* A plugin exports nothing but its entry function: its parts are compiled in. */
#include "../../plugins/transform/number.c"
#include "../../plugins/transform/where_compile.c"
#include "../../plugins/transform/where_eval.c"
#include "../../plugins/transform/where_lex.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *newline = size > 0 ? memchr(data, '\n', size) : NULL;
    size_t len = newline != NULL ? (size_t)(newline - data) : size;
    where_fault fault;
    char *copy = malloc(len + 6); /* exact sizes, so that reading beyond the end is seen */
    char *record = malloc(size - len + 1);
    where_program *program;
    where_program *inverse;
    weir_json_doc *doc = NULL;
    if (copy == NULL || record == NULL) abort();
    memcpy(copy, "not (", 5);
    if (len > 0) memcpy(copy + 5, data, len);
    copy[5 + len] = ')';
    program = where_compile((weir_str){copy + 5, len}, &fault);
    if (program == NULL && fault.column > len + 1) abort();
    inverse = where_compile((weir_str){copy, len + 6}, &fault);
    if (newline != NULL) {
        size_t rest = size - len - 1;
        memcpy(record, newline + 1, rest);
        doc = weir_json_read((weir_str){record, rest}, 0, NULL);
    }
    if (doc != NULL && program != NULL && inverse != NULL) {
        const weir_value *root = weir_json_root(doc);
        if (where_holds(program, root) == where_holds(inverse, root)) abort();
    }
    weir_json_free(doc);
    where_free(program);
    where_free(inverse);
    free(record);
    free(copy);
    return 0;
}
