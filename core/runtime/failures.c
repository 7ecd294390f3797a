#include "runtime/failures.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "runtime/envelope.h"
#include "runtime/template_eval.h"

struct failures {
    const node *node;
    batch_home *home;
    outlet *dead_letters;
    counters *counters;
    weir_batch_builder *builder; /* dead letters gathered, NULL = none */
    weir_str split;              /* of the batch being gathered */
    char split_text[256];
    uint64_t logged; /* failures written to the log; after the first few only powers of two */
};

failures *failures_new(const node *n, batch_home *home, outlet *dead_letters, counters *c) {
    failures *f = calloc(1, sizeof *f);
    if (f == NULL) return NULL;
    f->node = n;
    f->home = home;
    f->dead_letters = dead_letters;
    f->counters = c;
    return f;
}

void failures_free(failures *f) {
    if (f == NULL) return;
    if (f->builder != NULL) batch_facet.abandon(f->builder);
    free(f);
}

/* Positions are bytes of the source's own: printable ones as they are, others escaped. */
static void position_text(weir_str position, char *out, size_t size) {
    size_t at = 0;
    out[0] = '\0';
    for (size_t i = 0; i < position.len && at + 5 < size; i++) {
        unsigned char c = (unsigned char)position.ptr[i];
        bool plain = c > ' ' && c < 0x7f && c != '\\';
        int n = snprintf(out + at, size - at, plain ? "%c" : "\\x%02x", c);
        if (n > 0) at += (size_t)n;
    }
}

/* Where a record stands, for people: with its position if the source was asked for positions, else
 * with what is known anyway, the position behind the last record of its batch. */
static void describe(const weir_batch *batch, uint32_t row, char *out, size_t size) {
    weir_str position;
    char text[WEIR_POSITION_MAX * 4 + 1];
    if (batch->split.len == 0) {
        snprintf(out, size, "a record");
    } else if (rows_header(batch->rows, row, STR(WEIR_META_POSITION), &position)) {
        position_text(position, text, sizeof text);
        snprintf(out, size, "split %.*s, position %s", STR_FMT(batch->split), text);
    } else {
        bool known = batch->resume.len > 0;
        if (known) position_text(batch->resume, text, sizeof text);
        snprintf(out, size, "split %.*s, record %u of a batch of %u%s%s", STR_FMT(batch->split),
                 row + 1, batch->rows->count, known ? ", before position " : "", known ? text : "");
    }
}

static weir_status add_text_header(weir_batch_builder *b, const char *name, weir_str value) {
    char *copy = batch_facet.alloc(b, value.len + 1);
    if (copy == NULL) return WEIR_E_NOMEM;
    if (value.len > 0) memcpy(copy, value.ptr, value.len);
    return batch_facet.header(b, str_of(name), str_make(copy, value.len));
}

static weir_str copy_bytes(weir_batch_builder *b, const char *ptr, uint64_t len) {
    if (ptr == NULL) return (weir_str){NULL, 0};
    char *copy = batch_facet.alloc(b, len + 1);
    if (copy == NULL) return (weir_str){NULL, UINT64_MAX};
    if (len > 0) memcpy(copy, ptr, len);
    return str_make(copy, len);
}

/* Dead letters outlive their batch by long, so they are copies: one bad record shall not keep a
 * whole HTTP body in memory. */
static weir_status add_letter(failures *f, const weir_batch *batch, uint32_t row,
                              const weir_error *why, uint32_t attempts) {
    const weir_rows *rows = batch->rows;
    weir_batch_builder *b = f->builder;
    weir_batch_columns columns = {.struct_size = sizeof columns};
    weir_status status = batch_facet.reserve(b, 1, &columns);
    if (status != WEIR_OK) return status;
    weir_str value = copy_bytes(b, rows->value_ptr[row], rows->value_len[row]);
    weir_str key = rows->key_ptr != NULL ? copy_bytes(b, rows->key_ptr[row], rows->key_len[row])
                                         : (weir_str){NULL, 0};
    if (value.len == UINT64_MAX || key.len == UINT64_MAX) return WEIR_E_NOMEM;
    columns.value_ptr[0] = value.ptr;
    columns.value_len[0] = (uint32_t)value.len;
    columns.key_ptr[0] = key.ptr;
    columns.key_len[0] = (uint32_t)key.len;
    columns.time_us[0] = rows->time_us != NULL ? rows->time_us[row] : WEIR_TIME_NONE;
    status = batch_facet.commit(b, 1);
    if (status != WEIR_OK) return status;

    for (uint32_t h = rows->header_start != NULL ? rows->header_start[row] : 0;
         rows->header_start != NULL && h < rows->header_start[row + 1]; h++) {
        weir_str n = copy_bytes(b, rows->header_name_ptr[h], rows->header_name_len[h]);
        weir_str v = copy_bytes(b, rows->header_value_ptr[h], rows->header_value_len[h]);
        if (n.len == UINT64_MAX || v.len == UINT64_MAX) return WEIR_E_NOMEM;
        status = batch_facet.header(b, n, v);
        if (status != WEIR_OK) return status;
    }
    char attempts_text[16], time_text[40];
    snprintf(attempts_text, sizeof attempts_text, "%u", attempts);
    int64_t now = clock_wall_us(&clock_system);
    time_t seconds = (time_t)(now / 1000000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    size_t at = strftime(time_text, sizeof time_text, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(time_text + at, sizeof time_text - at, ".%03dZ", (int)(now / 1000 % 1000));
    weir_str origin;
    status = add_text_header(b, HEADER_NODE, f->node->name);
    if (status == WEIR_OK) {
        status = add_text_header(b, HEADER_CODE, str_of(error_status_name(error_status(why))));
    }
    /* As it is, though it may quote a record that is no text: the envelope makes it UTF-8. */
    if (status == WEIR_OK) status = add_text_header(b, HEADER_TEXT, str_of(error_text(why)));
    if (status == WEIR_OK) status = add_text_header(b, HEADER_ATTEMPTS, str_of(attempts_text));
    if (status == WEIR_OK) status = add_text_header(b, HEADER_TIME, str_of(time_text));
    if (status == WEIR_OK) status = add_text_header(b, HEADER_SPLIT, batch->split);
    if (status == WEIR_OK && rows_header(rows, row, STR(WEIR_META_POSITION), &origin)) {
        status = add_text_header(b, HEADER_POSITION, origin);
    }
    if (status == WEIR_OK && rows_header(rows, row, STR(WEIR_META_STREAM), &origin)) {
        status = add_text_header(b, HEADER_STREAM, origin);
    }
    return status;
}

weir_status failures_record(failures *f, const weir_batch *batch, uint32_t row,
                            const weir_error *why, uint32_t attempts, weir_error *err) {
    char where[320 + 4 * WEIR_POSITION_MAX];
    describe(batch, row, where, sizeof where);
    count(&f->counters->failed, 1);
    if (f->node->on_error == ON_ERROR_FAIL) {
        error_copy(err, why);
        error_prefix(err, "%.*s: %s", STR_FMT(f->node->name), where);
        error_hint(err,
                   "repair the input, or set on_error of node %.*s to skip or {dead_letter: NODE}",
                   STR_FMT(f->node->name));
        return error_status(err);
    }
    f->logged++;
    if (f->logged <= 8 || (f->logged & (f->logged - 1)) == 0) {
        log_write(WEIR_LOG_WARN, NULL, "%.*s: %s: %s (%s, %llu such records so far)",
                  STR_FMT(f->node->name), where, error_text(why),
                  f->node->on_error == ON_ERROR_SKIP ? "skipped" : "to dead letters",
                  (unsigned long long)f->logged);
    }
    if (f->node->on_error == ON_ERROR_SKIP) {
        count(&f->counters->skipped, 1);
        return WEIR_OK;
    }
    if (f->builder != NULL && !str_eq(f->split, batch->split)) {
        weir_status status = failures_flush(f, err); /* a batch belongs to one split */
        if (status != WEIR_OK) return status;
    }
    if (f->builder == NULL) {
        f->builder = batch_begin(f->home, 16, WEIR_COL_KEY | WEIR_COL_TIME);
        size_t len =
            batch->split.len < sizeof f->split_text ? batch->split.len : sizeof f->split_text;
        if (len > 0) memcpy(f->split_text, batch->split.ptr, len);
        f->split = str_make(f->split_text, len);
    }
    if (f->builder == NULL || add_letter(f, batch, row, why, attempts) != WEIR_OK) {
        return error_set(err, WEIR_E_NOMEM, 0, "out of memory for a dead letter");
    }
    count(&f->counters->dead_lettered, 1);
    return WEIR_OK;
}

weir_status failures_unread(failures *f, const weir_error *why, weir_error *err) {
    const char *value = NULL;
    uint32_t len = 0;
    weir_rows rows = {
        .struct_size = sizeof rows, .count = 1, .value_ptr = &value, .value_len = &len};
    weir_batch batch = {.struct_size = sizeof batch, .rows = &rows, .split = STR(""), .lag_ms = -1};
    weir_status status = failures_record(f, &batch, 0, why, 1, err);
    return status == WEIR_OK ? failures_flush(f, err) : status;
}

weir_status failures_flush(failures *f, weir_error *err) {
    if (f->builder == NULL) return WEIR_OK;
    weir_batch_seal seal = {.struct_size = sizeof seal, .split = f->split, .lag_ms = -1};
    const weir_batch *batch = batch_facet.seal(f->builder, &seal);
    f->builder = NULL;
    if (batch == NULL) return error_set(err, WEIR_E_NOMEM, 0, "out of memory for dead letters");
    return outlet_send(f->dead_letters, batch, err);
}
