#include "batch/schema.h"

#include <stdatomic.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"

/* The three strings stand behind the struct, each with a NUL. */
struct weir_schema {
    _Atomic uint32_t refs;
    weir_str type, text, fingerprint;
};

static weir_str put(char **at, weir_str s) {
    weir_str copy = {*at, s.len};
    if (s.len > 0) memcpy(*at, s.ptr, s.len);
    (*at)[s.len] = '\0';
    *at += s.len + 1;
    return copy;
}

weir_schema *schema_new(weir_ctx *ctx, weir_str type, weir_str text, weir_str fingerprint) {
    (void)ctx;
    size_t bytes = sizeof(weir_schema) + 3;
    if (!mem_add(bytes, type.len, &bytes) || !mem_add(bytes, text.len, &bytes) ||
        !mem_add(bytes, fingerprint.len, &bytes))
        return NULL;
    weir_schema *s = mem_alloc(bytes);
    if (s == NULL) return NULL;
    char *at = (char *)(s + 1);
    atomic_init(&s->refs, 1);
    s->type = put(&at, type);
    s->text = put(&at, text);
    s->fingerprint = put(&at, fingerprint);
    return s;
}

void schema_retain(const weir_schema *schema) {
    weir_schema *s = (weir_schema *)(uintptr_t)schema;
    WEIR_ASSERT(atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed) > 0);
}

void schema_release(const weir_schema *schema) {
    weir_schema *s = (weir_schema *)(uintptr_t)schema;
    if (s == NULL) return;
    uint32_t before = atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel);
    WEIR_ASSERT(before > 0);
    if (before == 1) mem_free(s);
}

weir_str schema_type(const weir_schema *s) {
    return s->type;
}

weir_str schema_text(const weir_schema *s) {
    return s->text;
}

weir_str schema_fingerprint(const weir_schema *s) {
    return s->fingerprint;
}
