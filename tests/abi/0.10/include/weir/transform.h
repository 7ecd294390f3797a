/*
 * weir/transform.h - transforms: batches in, batches out.
 *
 * A transform keeps no state of its own that a restart would need: state and timers go through the
 * host, so that they are part of checkpoints.
 */
#ifndef WEIR_TRANSFORM_H
#define WEIR_TRANSFORM_H

#include "weir/batch.h"
#include "weir/instance.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weir_apply {
    uint32_t struct_size;
    uint32_t reserved;
    const weir_batch *batch; /* decoded if WEIR_CAP_NEEDS_TAPE; the host's reference */
    weir_str key; /* WEIR_CAP_KEYED: the key all records share, the text of exchange.key */
    weir_emitter *emitter;
    /* Sends a batch on; takes over the reference. Port 0 is the main output. Emitting `batch`
     * itself needs a retain first. [task] */
    weir_status (*emit)(struct weir_apply *args, uint32_t port, const weir_batch *batch);
    /* Reports a bad record of `batch`; it must not be emitted. [task] */
    void (*fail)(struct weir_apply *args, uint32_t record, weir_status status, weir_str text);
    weir_error *error;
} weir_apply;

typedef struct weir_timers {
    uint32_t struct_size;
    uint32_t count;
    const char *const *key_ptr; /* [count] */
    const uint32_t *key_len;
    const int64_t *time_us;
    weir_emitter *emitter;
    weir_status (*emit)(struct weir_timers *args, uint32_t port,
                        const weir_batch *batch); /* [task] */
    weir_error *error;
} weir_timers;

typedef struct weir_transform_ops {
    uint32_t struct_size;
    uint32_t reserved;
    weir_status (*create)(weir_create *args);                   /* allocates only [control] */
    void (*destroy)(void *self);                                /* [control] */
    weir_status (*open)(void *self, weir_open *args);           /* [task] */
    weir_status (*apply)(void *self, weir_apply *args);         /* [task] */
    weir_status (*on_timer)(void *self, weir_timers *args);     /* optional [task] */
    weir_status (*snapshot)(void *self, weir_snapshot *args);   /* optional [task] */
    void (*cancel)(void *self);                                 /* sticky [any] */
    weir_status (*close)(void *self, weir_close *args);         /* [task] */
    const void *(*get_extension)(void *self, const char *name); /* optional [control] */
} weir_transform_ops;

#ifdef __cplusplus
}
#endif
#endif
