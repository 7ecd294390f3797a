#include "loader/stubs.h"

/* One stub for each signature: a call through a pointer of another type is undefined. */

static weir_status no_set_paused(void *self, weir_pause *args) {
    (void)self, (void)args;
    return WEIR_E_UNSUPPORTED;
}
static weir_status no_snapshot(void *self, weir_snapshot *args) {
    (void)self, (void)args;
    return WEIR_E_UNSUPPORTED;
}
static weir_status no_checkpoint_done(void *self, weir_checkpoint_done *args) {
    (void)self, (void)args;
    return WEIR_E_UNSUPPORTED;
}
static weir_status no_drive(void *self, weir_drive *args) {
    (void)self, (void)args;
    return WEIR_E_UNSUPPORTED;
}
static weir_status no_decode(void *self, weir_decode *args) {
    (void)self, (void)args;
    return WEIR_E_UNSUPPORTED;
}
static weir_status no_encode(void *self, weir_encode *args) {
    (void)self, (void)args;
    return WEIR_E_UNSUPPORTED;
}
static weir_status no_timer(void *self, weir_timers *args) {
    (void)self, (void)args;
    return WEIR_E_UNSUPPORTED;
}
static void no_wakeup(void *self) {
    (void)self;
}
static const void *no_extension(void *self, const char *name) {
    (void)self, (void)name;
    return NULL;
}

#define REQUIRE(ops, slot)                                                                         \
    do {                                                                                           \
        if ((ops)->slot == NULL) return #slot;                                                     \
    } while (0)
#define FILL(ops, slot, stub)                                                                      \
    do {                                                                                           \
        if ((ops)->slot == NULL) (ops)->slot = (stub);                                             \
    } while (0)

static const char *fill_source(bound_component *bound) {
    weir_source_ops *ops = &bound->ops.source;
    REQUIRE(ops, create);
    REQUIRE(ops, destroy);
    REQUIRE(ops, open);
    REQUIRE(ops, assign);
    REQUIRE(ops, poll);
    REQUIRE(ops, cancel);
    REQUIRE(ops, close);
    bound->has_set_paused = ops->set_paused != NULL;
    bound->has_snapshot = ops->snapshot != NULL;
    bound->has_checkpoint_done = ops->checkpoint_done != NULL;
    bound->has_wakeup = ops->wakeup != NULL;
    FILL(ops, set_paused, no_set_paused);
    FILL(ops, snapshot, no_snapshot);
    FILL(ops, checkpoint_done, no_checkpoint_done);
    FILL(ops, wakeup, no_wakeup);
    FILL(ops, get_extension, no_extension);
    return NULL;
}

static const char *fill_sink(bound_component *bound) {
    weir_sink_ops *ops = &bound->ops.sink;
    REQUIRE(ops, create);
    REQUIRE(ops, destroy);
    REQUIRE(ops, open);
    REQUIRE(ops, write);
    REQUIRE(ops, flush);
    REQUIRE(ops, cancel);
    REQUIRE(ops, close);
    bound->has_drive = ops->drive != NULL;
    bound->has_wakeup = ops->wakeup != NULL;
    FILL(ops, drive, no_drive);
    FILL(ops, wakeup, no_wakeup);
    FILL(ops, get_extension, no_extension);
    return NULL;
}

static const char *fill_serde(bound_component *bound) {
    weir_serde_ops *ops = &bound->ops.serde;
    REQUIRE(ops, create);
    REQUIRE(ops, destroy);
    REQUIRE(ops, open);
    /* A format that is only read, or only written, is still one. */
    if (ops->decode == NULL && ops->encode == NULL) return "decode or encode";
    REQUIRE(ops, cancel);
    REQUIRE(ops, close);
    FILL(ops, decode, no_decode);
    FILL(ops, encode, no_encode);
    FILL(ops, get_extension, no_extension);
    return NULL;
}

static const char *fill_transform(bound_component *bound) {
    weir_transform_ops *ops = &bound->ops.transform;
    REQUIRE(ops, create);
    REQUIRE(ops, destroy);
    REQUIRE(ops, open);
    REQUIRE(ops, apply);
    REQUIRE(ops, cancel);
    REQUIRE(ops, close);
    bound->has_snapshot = ops->snapshot != NULL;
    FILL(ops, on_timer, no_timer);
    FILL(ops, snapshot, no_snapshot);
    FILL(ops, get_extension, no_extension);
    return NULL;
}

#ifdef LOADER_KIND_REFERENCE
static const char *fill_reference(bound_component *bound) {
    weir_reference_ops *ops = &bound->ops.reference;
    REQUIRE(ops, create);
    REQUIRE(ops, destroy);
    REQUIRE(ops, open);
    REQUIRE(ops, resolve);
    REQUIRE(ops, cancel);
    REQUIRE(ops, close);
    FILL(ops, get_extension, no_extension);
    return NULL;
}
#endif

const char *stubs_fill(uint32_t kind, bound_component *bound) {
    switch (kind) {
    case WEIR_KIND_SOURCE:
        return fill_source(bound);
    case WEIR_KIND_SINK:
        return fill_sink(bound);
    case WEIR_KIND_SERDE:
        return fill_serde(bound);
#ifdef LOADER_KIND_REFERENCE
    case LOADER_KIND_REFERENCE:
        return fill_reference(bound);
#endif
    default:
        return fill_transform(bound);
    }
}
