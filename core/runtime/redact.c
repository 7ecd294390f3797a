#include "runtime/redact.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/str.h"

typedef struct secret {
    struct secret *next;
    weir_str value, shown; /* behind it */
} secret;

/* Grows only: readers need no lock. */
static _Atomic(secret *) secrets;

bool redact_add(weir_str value, weir_str shown) {
    if (value.len < REDACT_BYTES_MIN) return true;
    for (secret *s = atomic_load(&secrets); s != NULL; s = s->next) {
        if (str_eq(s->value, value)) return true;
    }
    secret *s = malloc(sizeof *s + value.len + shown.len);
    if (s == NULL) return false;
    char *bytes = (char *)(s + 1);
    memcpy(bytes, value.ptr, value.len);
    memcpy(bytes + value.len, shown.ptr, shown.len);
    *s = (secret){.next = atomic_load(&secrets),
                  .value = {bytes, value.len},
                  .shown = {bytes + value.len, shown.len}};
    while (!atomic_compare_exchange_weak(&secrets, &s->next, s)) {}
    return true;
}

/* The longest secret that stands at the beginning of `text`. */
static const secret *secret_at(weir_str text) {
    const secret *found = NULL;
    for (const secret *s = atomic_load(&secrets); s != NULL; s = s->next) {
        if (str_starts(text, s->value) && (found == NULL || s->value.len > found->value.len)) {
            found = s;
        }
    }
    return found;
}

weir_str redact(weir_str text, buf *scratch) {
    if (atomic_load_explicit(&secrets, memory_order_acquire) == NULL) return text;
    size_t copied = 0;
    for (size_t i = 0; i < text.len;) {
        const secret *s = secret_at(str_make(text.ptr + i, text.len - i));
        if (s == NULL) {
            i++;
            continue;
        }
        buf_append(scratch, text.ptr + copied, i - copied);
        buf_append_str(scratch, s->shown);
        i += s->value.len;
        copied = i;
    }
    if (copied == 0) return text;
    buf_append(scratch, text.ptr + copied, text.len - copied);
    return buf_ok(scratch) ? buf_str(scratch) : STR("(not shown: it holds a secret)");
}
