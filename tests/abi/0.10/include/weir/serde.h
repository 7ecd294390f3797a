/*
 * weir/serde.h - serdes: bytes to rows and rows to bytes.
 */
#ifndef WEIR_SERDE_H
#define WEIR_SERDE_H

#include "weir/batch.h"
#include "weir/instance.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * decode: for each record of `batch` append its rows to `tape` in record order, or report it with
 * `fail`. A record that is null yields a row with one NULL node. AGAIN: a schema is being fetched;
 * nothing was appended, the host parks the split and repeats the call after a wake.
 */
typedef struct weir_decode {
    uint32_t struct_size;
    uint32_t reserved;
    const weir_batch *batch;
    weir_tape_builder *tape;
    /* Reports a bad record; text and detail are copied. [task] */
    void (*fail)(struct weir_decode *args, uint32_t record, weir_status status, weir_str text);
    int64_t deadline_ns;
    weir_error *error; /* of the call as a whole */
} weir_decode;

/*
 * encode: for each row of `batch->tape` produce one value, in order. Ask `room` for memory, write,
 * and say with `row` how many bytes the value took; or report the row with `fail`.
 */
typedef struct weir_encode {
    uint32_t struct_size;
    uint32_t reserved;
    const weir_batch *batch; /* its tape is not NULL */
    /* At least `size` bytes for the value under way; a second call for the same value moves what is
     * written so far (`used` bytes). NULL without memory. [task] */
    char *(*room)(struct weir_encode *args, uint64_t used, uint64_t size);
    weir_status (*row)(struct weir_encode *args, uint32_t row, uint64_t size); /* [task] */
    void (*fail)(struct weir_encode *args, uint32_t row, weir_status status,
                 weir_str text); /* [task] */
    int64_t deadline_ns;
    weir_error *error;
} weir_encode;

typedef struct weir_serde_ops {
    uint32_t struct_size;
    uint32_t reserved;
    weir_status (*create)(weir_create *args);                   /* allocates only [control] */
    void (*destroy)(void *self);                                /* [control] */
    weir_status (*open)(void *self, weir_open *args);           /* [task] */
    weir_status (*decode)(void *self, weir_decode *args);       /* OK or AGAIN [task] */
    weir_status (*encode)(void *self, weir_encode *args);       /* OK or AGAIN [task] */
    void (*cancel)(void *self);                                 /* ends a look-up; sticky [any] */
    weir_status (*close)(void *self, weir_close *args);         /* [task] */
    const void *(*get_extension)(void *self, const char *name); /* optional [control] */
} weir_serde_ops;

/* Extension "weir.serde.stream/1": formats of whole objects (Avro containers, CSV with a header
 * line). `begin`, `append`, `end` write one object; `feed` reads one. */
typedef struct weir_stream_out {
    uint32_t struct_size;
    uint32_t reserved;
    const weir_batch *batch; /* append: the rows */
    char *(*room)(struct weir_stream_out *args, uint64_t used, uint64_t size); /* [task] */
    weir_status (*bytes)(struct weir_stream_out *args, uint64_t size);         /* [task] */
    weir_error *error;
} weir_stream_out;
typedef struct weir_stream_in {
    uint32_t struct_size;
    uint32_t last;               /* 1: no bytes follow */
    weir_str bytes;              /* the next bytes of the object */
    uint64_t consumed;           /* out */
    uint64_t resume;             /* out: offset in the object to begin again from */
    weir_batch_builder *builder; /* out: records found */
    weir_error *error;
} weir_stream_in;
typedef struct weir_serde_stream {
    uint32_t struct_size;
    uint32_t reserved;
    weir_status (*begin)(void *self, void **object, weir_stream_out *args); /* [task] */
    weir_status (*append)(void *self, void *object, weir_stream_out *args); /* [task] */
    weir_status (*end)(void *self, void *object, weir_stream_out *args); /* frees object [task] */
    weir_status (*open_read)(void *self, void **object, weir_stream_in *args); /* [task] */
    weir_status (*feed)(void *self, void *object, weir_stream_in *args);       /* [task] */
    void (*close_read)(void *self, void *object);                              /* [task] */
} weir_serde_stream;
#define WEIR_SERDE_STREAM "weir.serde.stream/1"

#ifdef __cplusplus
}
#endif
#endif
