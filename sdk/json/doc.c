/* Small documents that own everything, and lenient look-ups in them. */
#include <stdlib.h>

#include "json_private.h"

/* One allocation: the document, a copy of the text, and as many bytes again for unescaped strings,
 * which are never longer than what they were written as. */
struct weir_json_doc {
    weir_value *nodes;
    uint32_t capacity;
    uint64_t spare_used;
    char *spare;
    char text[];
};

static weir_value *doc_grow(void *opaque, uint32_t used, uint32_t capacity,
                            uint32_t *new_capacity) {
    weir_json_doc *doc = opaque;
    (void)used;
    weir_value *nodes = realloc(doc->nodes, (size_t)capacity * sizeof *nodes);
    if (!nodes) return NULL;
    doc->nodes = nodes;
    doc->capacity = capacity;
    *new_capacity = capacity;
    return nodes;
}

static char *doc_alloc(void *opaque, uint64_t size) {
    weir_json_doc *doc = opaque;
    char *bytes = doc->spare + doc->spare_used;
    doc->spare_used += size;
    return bytes;
}

weir_json_doc *weir_json_read(weir_str text, uint32_t flags, weir_json_fault *fault) {
    weir_json_fault ignored;
    if (!fault) fault = &ignored;
    *fault = (weir_json_fault){.line = 1, .column = 1, .text = "out of memory"};
    if (text.len > INT32_MAX) {
        fault->text = "larger than 2 GiB";
        return NULL;
    }
    weir_json_doc *doc = malloc(sizeof *doc + 2 * (size_t)text.len);
    if (!doc) return NULL;
    *doc = (weir_json_doc){.spare = doc->text + text.len};
    if (text.len) memcpy(doc->text, text.ptr, (size_t)text.len);

    weir_json_parser p = {.flags = flags, .grow = doc_grow, .alloc = doc_alloc, .opaque = doc};
    weir_status status = weir_json_parse(&p, (weir_str){doc->text, text.len});
    weir_json_parser_free(&p);
    if (status == WEIR_OK) return doc;
    if (status == WEIR_E_DATA) *fault = p.fault;
    weir_json_free(doc);
    return NULL;
}

const weir_value *weir_json_root(const weir_json_doc *doc) {
    return doc->nodes;
}

void weir_json_free(weir_json_doc *doc) {
    if (!doc) return;
    free(doc->nodes);
    free(doc);
}

const weir_value *weir_json_get(const weir_value *object, const char *name) {
    return object ? weir_value_member(object, name, strlen(name)) : NULL;
}

weir_str weir_json_get_str(const weir_value *object, const char *name, const char *otherwise) {
    const weir_value *v = weir_json_get(object, name);
    if (v && v->type == WEIR_V_STRING && v->logical != WEIR_L_DECIMAL) return weir_value_str(v);
    return otherwise ? (weir_str){otherwise, strlen(otherwise)} : (weir_str){"", 0};
}

int64_t weir_json_get_i64(const weir_value *object, const char *name, int64_t otherwise) {
    const weir_value *v = weir_json_get(object, name);
    return v && v->type == WEIR_V_I64 ? v->as.i64 : otherwise;
}

double weir_json_get_f64(const weir_value *object, const char *name, double otherwise) {
    const weir_value *v = weir_json_get(object, name);
    if (!v) return otherwise;
    if (v->type == WEIR_V_F64) return v->as.f64;
    if (v->type == WEIR_V_I64) return (double)v->as.i64;
    if (v->type == WEIR_V_U64) return (double)v->as.u64;
    return otherwise;
}

int weir_json_get_bool(const weir_value *object, const char *name, int otherwise) {
    const weir_value *v = weir_json_get(object, name);
    return v && v->type == WEIR_V_BOOL ? v->as.u64 != 0 : otherwise;
}
