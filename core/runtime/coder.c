#include "runtime/coder.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/str.h"

/* How long a serde's open may take: it may have to reach a schema registry. */
#define OPEN_TIMEOUT_NS (60 * CLOCK_NS_PER_S)

struct coder {
    instance *serde;
    batch_home *home;
    weir_error *why;   /* of one record */
    uint32_t *dropped; /* rows the last encode gave up */
    uint32_t dropped_count, dropped_cap;
};

coder *coder_new(context *cx, batch_home *home, const node *n, uint32_t index, uint32_t parallelism,
                 wake *w, weir_error *err) {
    coder *c = calloc(1, sizeof *c);
    if (c == NULL) {
        error_set(err, WEIR_E_NOMEM, 0, "out of memory");
        return NULL;
    }
    c->home = home;
    c->why = error_new();
    c->serde = instance_new(cx, home, n->format.serde, n, &n->format.options, &n->format, index,
                            parallelism, w, err);
    if (c->serde == NULL || c->why == NULL) {
        coder_free(c);
        return NULL;
    }
    return c;
}

weir_status coder_open(coder *c, weir_error *err) {
    weir_open args = {.deadline_ns = clock_mono_ns(&clock_system) + OPEN_TIMEOUT_NS};
    return instance_open(c->serde, WEIR_ROLE_TASK, &args, err);
}

void coder_close(coder *c) {
    if (c != NULL) instance_close(c->serde, WEIR_CLOSE_ABANDON, 0, NULL);
}

void coder_cancel(coder *c) {
    if (c != NULL) instance_cancel(c->serde);
}

void coder_free(coder *c) {
    if (c == NULL) return;
    instance_free(c->serde);
    error_free(c->why);
    free(c->dropped);
    free(c);
}

/* The host's side of one decode or encode call: the ABI struct first, then what `fail` needs. */
typedef struct decode_call {
    weir_decode args;
    coder *coder;
    failures *failures;
    weir_error *err;
    weir_status failed; /* first failure that must end the pipeline */
} decode_call;

static weir_status report(coder *c, failures *f, const weir_batch *batch, uint32_t record,
                          weir_status status, weir_str text, weir_error *err) {
    error_clear(c->why);
    error_set(c->why, status, WEIR_ERR_PER_RECORD, "%.*s", STR_FMT(text));
    return failures_record(f, batch, record, c->why, 1, err);
}

/* The serde named a record that there is not, or said nothing of one that there is. */
static weir_status fault(const coder *c, const char *what, weir_error *err) {
    return error_set(err, WEIR_E_INTERNAL, WEIR_ERR_FATAL, "%s: %s: a fault of the plugin",
                     c->serde->where, what);
}

static void decode_fail(weir_decode *args, uint32_t record, weir_status status, weir_str text) {
    decode_call *call = (decode_call *)(void *)args;
    if (call->failed != WEIR_OK) return;
    if (record >= args->batch->rows->count) {
        call->failed = fault(call->coder, "decode reports a record that there is not", call->err);
        return;
    }
    call->failed =
        report(call->coder, call->failures, args->batch, record, status, text, call->err);
}

weir_status coder_decode(coder *c, const weir_batch *batch, failures *f, const weir_batch **out,
                         weir_error *err) {
    *out = NULL;
    decode_call call = {.coder = c, .failures = f, .err = err, .failed = WEIR_OK};
    call.args.struct_size = sizeof call.args;
    call.args.batch = batch;
    call.args.fail = decode_fail;
    call.args.deadline_ns = clock_mono_ns(&clock_system) + OPEN_TIMEOUT_NS;
    call.args.error = err;
    call.args.tape = batch_tape_begin(c->home, batch);
    if (call.args.tape == NULL) {
        batch_release(batch);
        return error_set(err, WEIR_E_NOMEM, 0, "out of memory for decoding");
    }
    error_clear(err);
    weir_status status = c->serde->bound->ops.serde.decode(c->serde->self, &call.args);
    if (status == WEIR_AGAIN) {
        batch_tape_abandon(call.args.tape);
        return status;
    }
    if (status == WEIR_OK) status = call.failed;
    if (status != WEIR_OK) {
        batch_tape_abandon(call.args.tape);
        batch_release(batch);
        return status;
    }
    const weir_batch *decoded = batch_tape_finish(call.args.tape);
    batch_release(batch);
    if (decoded == NULL) return error_set(err, WEIR_E_NOMEM, 0, "out of memory for decoding");
    status = failures_flush(f, err);
    if (status != WEIR_OK || decoded->rows->count == 0) {
        batch_release(decoded);
        return status;
    }
    *out = decoded;
    return WEIR_OK;
}

typedef struct encode_call {
    weir_encode args;
    coder *coder;
    batch_encoder *encoder;
    failures *failures;
    weir_error *err;
    weir_status failed;
} encode_call;

static char *encode_room(weir_encode *args, uint64_t used, uint64_t size) {
    return batch_encode_room(((encode_call *)(void *)args)->encoder, used, size);
}

static weir_status encode_row(weir_encode *args, uint32_t row, uint64_t size) {
    return batch_encode_row(((encode_call *)(void *)args)->encoder, row, size);
}

static void encode_fail(weir_encode *args, uint32_t row, weir_status status, weir_str text) {
    encode_call *call = (encode_call *)(void *)args;
    if (call->failed != WEIR_OK) return;
    coder *c = call->coder;
    if (row >= args->batch->rows->count ||
        (c->dropped_count > 0 && row <= c->dropped[c->dropped_count - 1])) {
        call->failed = fault(c, "encode reports rows out of order or range", call->err);
        return;
    }
    if (c->dropped_count == c->dropped_cap) {
        uint32_t cap = c->dropped_cap == 0 ? 64 : c->dropped_cap * 2;
        uint32_t *dropped = realloc(c->dropped, cap * sizeof *dropped);
        if (dropped == NULL) {
            call->failed = error_set(call->err, WEIR_E_NOMEM, 0, "out of memory for encoding");
            return;
        }
        c->dropped = dropped;
        c->dropped_cap = cap;
    }
    c->dropped[c->dropped_count++] = row;
    call->failed = report(call->coder, call->failures, args->batch, row, status, text, call->err);
}

weir_status coder_encode(coder *c, const weir_batch *batch, bool lines, failures *f,
                         const weir_batch **out, weir_error *err) {
    *out = NULL;
    c->dropped_count = 0;
    if (batch->tape == NULL) {
        batch_release(batch);
        return error_set(err, WEIR_E_INTERNAL, WEIR_ERR_FATAL,
                         "%s: a transform passed on records without their fields, which are to be "
                         "encoded",
                         c->serde->where);
    }
    uint32_t rows = batch->rows->count;
    encode_call call = {.coder = c, .failures = f, .err = err, .failed = WEIR_OK};
    call.args.struct_size = sizeof call.args;
    call.args.batch = batch;
    call.args.room = encode_room;
    call.args.row = encode_row;
    call.args.fail = encode_fail;
    call.args.deadline_ns = clock_mono_ns(&clock_system) + OPEN_TIMEOUT_NS;
    call.args.error = err;
    call.encoder = batch_encode_begin(c->home, batch);
    if (call.encoder == NULL) {
        batch_release(batch);
        return error_set(err, WEIR_E_NOMEM, 0, "out of memory for encoding");
    }
    batch_encode_lines(call.encoder, lines);
    error_clear(err);
    weir_status status = c->serde->bound->ops.serde.encode(c->serde->self, &call.args);
    if (status == WEIR_AGAIN) {
        batch_encode_abandon(call.encoder);
        return status;
    }
    if (status == WEIR_OK) status = call.failed;
    if (status != WEIR_OK) {
        batch_encode_abandon(call.encoder);
        batch_release(batch);
        return status;
    }
    const weir_batch *encoded = batch_encode_finish(call.encoder);
    batch_release(batch);
    if (encoded == NULL) return error_set(err, WEIR_E_NOMEM, 0, "out of memory for encoding");
    if (encoded->rows->count + c->dropped_count != rows) {
        /* Lost in silence otherwise, and the templates of what follows would be off by one. */
        batch_release(encoded);
        return fault(c, "encode neither wrote nor reported some rows", err);
    }
    status = failures_flush(f, err);
    if (status != WEIR_OK || encoded->rows->count == 0) {
        batch_release(encoded);
        return status;
    }
    *out = encoded;
    return WEIR_OK;
}

const uint32_t *coder_dropped(const coder *c, uint32_t *count_) {
    *count_ = c->dropped_count;
    return c->dropped;
}
