#include "batch/object.h"

#include <string.h>

#include "base/check.h"
#include "batch/schema.h"

batch *object_new(batch_home *home, uint64_t extra) {
    region r;
    batch *b = region_begin(&r, home, sizeof(batch) + extra);
    if (b == NULL) return NULL;
    memset(b, 0, sizeof *b);
    r.at = (char *)(b + 1);
    b->region = r;
    b->abi.struct_size = sizeof b->abi;
    b->abi.rows = &b->rows;
    b->abi.split.ptr = "";
    b->abi.resume.ptr = "";
    b->abi.lag_ms = -1;
    b->rows.struct_size = sizeof b->rows;
    b->tape.struct_size = sizeof b->tape;
    atomic_init(&b->refs, 1);
    return b;
}

void object_free(batch *b) {
    /* Parents by iteration: a chain of derivations must not become a chain of calls. */
    while (b != NULL) {
        batch *parent = b->parent;
        batch_home *home = b->region.home;
        uint64_t charged = 0;
        for (attachment *a = b->attachments; a != NULL; a = a->next) {
            charged += a->charged;
            a->release(a->opaque);
        }
        for (uint32_t i = 0; i < b->schema_count; i++) schema_release(b->schemas[i]);
        /* The charge goes after the bytes went, and before the region: the object stands in it. */
        if (charged > 0) batch_home_uncharge(home, charged);
        region r = b->region;
        region_end(&r);
        b = parent != NULL && atomic_fetch_sub_explicit(&parent->refs, 1, memory_order_acq_rel) == 1
                ? parent
                : NULL;
    }
}

void batch_retain(const weir_batch *b) {
    uint32_t before = atomic_fetch_add_explicit(&object_of(b)->refs, 1, memory_order_relaxed);
    WEIR_ASSERT(before > 0 && before < UINT32_MAX / 2);
}

void batch_release(const weir_batch *b) {
    if (b == NULL) return;
    batch *o = object_of(b);
    uint32_t before = atomic_fetch_sub_explicit(&o->refs, 1, memory_order_acq_rel);
    WEIR_ASSERT(before > 0);
    if (before == 1) object_free(o);
}

uint64_t batch_bytes(const weir_batch *b) {
    const batch *o = object_of(b);
    return o->region.bytes + o->attached;
}

batch *object_derive(batch_home *home, batch *parent, uint64_t extra) {
    batch *b = object_new(home, extra);
    if (b == NULL) return NULL;
    b->abi.flags = parent->abi.flags;
    b->abi.split = parent->abi.split;
    b->abi.resume = parent->abi.resume;
    b->abi.lag_ms = parent->abi.lag_ms;
    b->rows = parent->rows;
    if (parent->abi.tape != NULL) {
        b->tape = parent->tape;
        b->abi.tape = &b->tape;
    }
    batch_retain(&parent->abi);
    b->parent = parent;
    return b;
}

bool object_take(void *to, uint32_t size, const void *from) {
    uint32_t theirs;
    if (from == NULL) return false;
    memcpy(&theirs, from, sizeof theirs);
    if (theirs < sizeof theirs) return false;
    memset(to, 0, size);
    memcpy(to, from, theirs < size ? theirs : size);
    return true;
}
