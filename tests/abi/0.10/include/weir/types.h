/*
 * weir/types.h - the words every other header of the plugin ABI is made of.
 *
 * The ABI knows fixed-width integers, pointers, and structs that begin with their own size. It has
 * no enums, bit-fields, flexible arrays, size_t, time_t or varargs: those differ between compilers
 * or cannot grow. Valid C11 and C++11.
 *
 * How a struct grows. Each side fills `struct_size` with the sizeof that its compiler saw. The
 * other side reads at most that many bytes and takes everything beyond as zero; zero always means
 * "as in the first version". Fields are only ever appended.
 *
 * Role tags in this and all other headers say who may call a function:
 *   [loader]  while the plugin is being loaded, single-threaded
 *   [control] on a control thread, never while data of the same instance moves
 *   [task]    on the thread of the task that owns the instance; calls are serialised
 *   [any]     from any thread; host functions with this tag never call back before they return
 */
#ifndef WEIR_TYPES_H
#define WEIR_TYPES_H

#include <stddef.h> /* offsetof, for WEIR_HAS */
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The ABI version of this header. Major 1 is still a draft: its drafts are numbered 0.9, 0.10, ...
 * and are written as 9, 10, ... in `abi_minor`. The first release, 1.0, will be 1000, so that any
 * draft sorts before any release. */
#define WEIR_ABI_MAJOR 1u
#define WEIR_ABI_MINOR 10u
#define WEIR_ABI_TEXT "0.10"

/* A string or a run of bytes: not NUL-terminated, owned by whoever the context says. Frozen. */
typedef struct weir_str {
    const char *ptr;
    uint64_t len;
} weir_str;

/* Results of operations. Positive values are outcomes, negative ones failures. A negative value
 * that the receiver does not know reads as WEIR_E_INTERNAL. */
typedef int32_t weir_status;

#define WEIR_OK 0
#define WEIR_AGAIN 1 /* nothing now; come again after a wake or the stated time */
#define WEIR_END 2   /* bounded input is exhausted */
#define WEIR_EVENT 3 /* poll returns an event instead of a batch */

#define WEIR_E_INVALID_ARG (-1)
#define WEIR_E_INVALID_STATE (-2)
#define WEIR_E_UNSUPPORTED (-3)
#define WEIR_E_NOT_FOUND (-4)
#define WEIR_E_EXISTS (-5)
#define WEIR_E_NOMEM (-6)
#define WEIR_E_IO (-7)
#define WEIR_E_TIMEOUT (-8)
#define WEIR_E_CANCELLED (-9)
#define WEIR_E_AUTH (-10)
#define WEIR_E_PERMISSION (-11)
#define WEIR_E_THROTTLED (-12)
#define WEIR_E_DATA (-13)
#define WEIR_E_FENCED (-14)
#define WEIR_E_TOO_LARGE (-15)
#define WEIR_E_INCOMPATIBLE (-16)
#define WEIR_E_INTERNAL (-17)

/* Flags of an error. */
#define WEIR_ERR_RETRYABLE (1u << 0)  /* the same call may succeed later */
#define WEIR_ERR_FATAL (1u << 1)      /* this instance cannot go on */
#define WEIR_ERR_CONFIG (1u << 2)     /* the manifest has to change */
#define WEIR_ERR_PER_RECORD (1u << 3) /* the record is at fault, not the system */

/* Keys of error_detail. */
#define WEIR_DETAIL_RETRY_AFTER_MS "retry_after_ms"
#define WEIR_DETAIL_HTTP_STATUS "http_status"
#define WEIR_DETAIL_VENDOR_CODE "vendor_code"
#define WEIR_DETAIL_REQUEST_ID "request_id"
#define WEIR_DETAIL_OPTION "option"
#define WEIR_DETAIL_HINT "hint"

/* Component kinds. 5, 7 and 8 are reserved: lookup, schema registry, checkpoint store. */
#define WEIR_KIND_SOURCE 1u
#define WEIR_KIND_SINK 2u
#define WEIR_KIND_SERDE 3u
#define WEIR_KIND_TRANSFORM 4u
#define WEIR_KIND_REFERENCE 6u

/* Log levels. */
#define WEIR_LOG_ERROR 1u
#define WEIR_LOG_WARN 2u
#define WEIR_LOG_INFO 3u
#define WEIR_LOG_DEBUG 4u
#define WEIR_LOG_TRACE 5u

/* Opaque objects of the host. */
typedef struct weir_error weir_error;                 /* an error being filled in */
typedef struct weir_batch_builder weir_batch_builder; /* see weir/batch.h */
typedef struct weir_tape_builder weir_tape_builder;   /* see weir/value.h */
typedef struct weir_schema weir_schema;               /* refcounted schema handle */
typedef struct weir_writer weir_writer;               /* a state blob being written */
typedef struct weir_split_list weir_split_list;       /* splits being enumerated */
typedef struct weir_emitter weir_emitter;             /* where apply puts its batches */

struct weir_host;

/*
 * The host's side of one instance. The plugin sees this head only; more stands behind it in the
 * host's own memory. Allocated by the host, valid from `create` until `destroy` has returned.
 */
typedef struct weir_ctx {
    uint32_t struct_size;
    uint32_t reserved;
    const struct weir_host *host; /* the original handle, the one host functions want */
} weir_ctx;

/* True if the struct that `p` points to was made large enough to hold `field`. */
#define WEIR_HAS(type, p, field)                                                                   \
    ((p)->struct_size >= (uint32_t)(offsetof(type, field) + sizeof((p)->field)))

#ifdef __cplusplus
}
#endif
#endif
