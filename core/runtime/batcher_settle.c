#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "runtime/backoff.h"
#include "runtime/batcher_private.h"

/* The longest pause a sink may ask for: more is a mistake, and would overflow. */
#define RETRY_AFTER_MAX_MS INT64_C(86400000)

typedef enum { VERDICT_RETRY, VERDICT_RECORD, VERDICT_FATAL } verdict;

static verdict judge(weir_status status, const weir_error *error) {
    uint32_t flags = error != NULL ? error_flags(error) : 0;
    if ((flags & (WEIR_ERR_FATAL | WEIR_ERR_CONFIG)) != 0) return VERDICT_FATAL;
    if ((flags & WEIR_ERR_PER_RECORD) != 0) return VERDICT_RECORD;
    if ((flags & WEIR_ERR_RETRYABLE) != 0) return VERDICT_RETRY;
    switch (status) {
    case WEIR_E_IO:
    case WEIR_E_TIMEOUT:
    case WEIR_E_THROTTLED:
        return VERDICT_RETRY;
    case WEIR_E_DATA:
    case WEIR_E_TOO_LARGE:
        return VERDICT_RECORD;
    default:
        return VERDICT_FATAL;
    }
}

/* The pause before a retry: the node's rule, but no less than the sink asked for. */
static int64_t pause_ns(const batcher *b, uint32_t attempt, int64_t floor_ms) {
    int64_t wait = backoff_ns(&b->node->retry, attempt, b->env);
    if (floor_ms > RETRY_AFTER_MAX_MS) floor_ms = RETRY_AFTER_MAX_MS;
    int64_t floor = floor_ms > 0 ? floor_ms * CLOCK_NS_PER_MS : 0;
    return wait < floor ? floor : wait;
}

static void log_retry(batcher *b, weir_status status, const weir_error *error, uint32_t records,
                      uint32_t attempt) {
    b->retries_logged++;
    if (b->retries_logged > 3 && (b->retries_logged & (b->retries_logged - 1)) != 0) return;
    buf text;
    buf_init(&text, 4096);
    if (error != NULL) {
        error_format(error, &text);
    } else {
        buf_append_z(&text, error_status_name(status));
    }
    log_write(WEIR_LOG_WARN, b->sink->component, "%s: trying %u records again (attempt %u): %.*s",
              b->sink->where, records, attempt + 1, STR_FMT(buf_str(&text)));
    buf_free(&text);
}

/* Order of arrival. */
static bool comes_before(const run *a, const run *b) {
    return a->work->serial != b->work->serial ? a->work->serial < b->work->serial
                                              : a->first < b->first;
}

/* Retries stand by time, those of equal time in order of failing. Those of an ordered sink stand as
 * they arrived: when the first of several records that are sent one by one must wait longer, those
 * behind it must wait too. */
static void group_retry(batcher *b, group *g, run *u) {
    run **at = &g->retry;
    while (*at != NULL &&
           (b->ordered ? comes_before(*at, u) : (*at)->not_before_ns <= u->not_before_ns)) {
        at = &(*at)->next;
    }
    u->next = *at;
    *at = u;
    g->queued_records += u->count;
    g->queued_bytes += batcher_run_bytes(b, u);
}

/* Puts records that are to be written again back into their group. */
static void requeue(batcher *b, group *g, const run *u, uint32_t first, uint32_t records,
                    uint32_t attempts, bool alone, int64_t not_before_ns) {
    run *again = batcher_run_new(b, u->work, first, records);
    again->attempts = attempts;
    again->alone = alone;
    again->not_before_ns = not_before_ns;
    b->bytes += batcher_weight(u->work, first, records);
    group_retry(b, g, again);
}

/* Decides over records [first, first + count_) of one run that failed. `again_ns` is when a retry
 * may be written: the same for all records of a request, so that their order stays. */
static weir_status settle_run(batcher *b, group *g, const run *u, uint32_t first, uint32_t count_,
                              weir_status status, const weir_error *error, int64_t again_ns,
                              bool whole, weir_error *err) {
    verdict v = judge(status, error);
    uint32_t attempts = u->attempts + 1;
    if (v == VERDICT_FATAL) {
        if (error != NULL) {
            error_copy(err, error);
        } else {
            error_set(err, status, WEIR_ERR_FATAL, "the sink refused a request: %s",
                      error_status_name(status));
        }
        error_prefix(err, "%s", b->sink->where);
        return error_status(err);
    }
    if (v == VERDICT_RETRY && attempts < b->node->retry.attempts) {
        requeue(b, g, u, first, count_, attempts, u->alone, again_ns);
        count(&b->counters->retried, count_);
        log_retry(b, status, error, count_, attempts);
        return WEIR_OK;
    }
    if (v == VERDICT_RECORD && whole && count_ > 0 && !u->alone) {
        /* Refused as a whole because of some record: send each by itself to find which. */
        requeue(b, g, u, first, count_, u->attempts, true, 0);
        return WEIR_OK;
    }
    if (error == NULL) {
        error_clear(b->why);
        error_set(b->why, status, 0, "the sink refused the record: %s", error_status_name(status));
        error = b->why;
    }
    for (uint32_t i = first; i < first + count_; i++) {
        weir_status s = failures_record(b->failures, u->work->batch, i, error, attempts, err);
        if (s != WEIR_OK) return s;
    }
    b->records -= count_;
    return WEIR_OK;
}

static void adapt(batcher *b, group *g, bool throttled, int64_t now) {
    if (b->buffered) return;
    if (throttled) {
        /* Once a round: requests that were under way together are throttled together. */
        if (now - g->slowed_ns > b->node->retry.base_ns) {
            g->window = g->window / 2 < 1 ? 1 : g->window / 2;
            g->slowed_ns = now;
        }
    } else if (g->window < b->limits.in_flight) {
        g->window += 1 / g->window;
    }
}

/* A result that names a record twice, or one that there is not, would have records settled twice or
 * never: such a plugin cannot be worked with. */
static weir_status check_result(const batcher *b, const request *r, const completion *c,
                                weir_error *err) {
    if (c->malformed) {
        return error_set(err, WEIR_E_INTERNAL, WEIR_ERR_FATAL,
                         "%s: a result says that records failed, but not which or why: a fault of "
                         "the plugin",
                         b->sink->where);
    }
    for (uint32_t f = 0; f < c->failed_count; f++) {
        if (c->failed_index[f] >= r->records) {
            return error_set(err, WEIR_E_INTERNAL, WEIR_ERR_FATAL,
                             "%s: a result names record %u of %u: a fault of the plugin",
                             b->sink->where, c->failed_index[f], r->records);
        }
        if (f > 0 && c->failed_index[f] <= c->failed_index[f - 1]) {
            return error_set(err, WEIR_E_INTERNAL, WEIR_ERR_FATAL,
                             "%s: a result names record %u behind record %u: a fault of the plugin",
                             b->sink->where, c->failed_index[f], c->failed_index[f - 1]);
        }
        if (c->failed_status[f] >= WEIR_OK) {
            return error_set(err, WEIR_E_INTERNAL, WEIR_ERR_FATAL,
                             "%s: a result names record %u as failed with status %d: a fault of "
                             "the plugin",
                             b->sink->where, c->failed_index[f], (int)c->failed_status[f]);
        }
    }
    return WEIR_OK;
}

static weir_status settle_failed_rows(batcher *b, request *r, const completion *c, int64_t again_ns,
                                      weir_error *err) {
    for (uint32_t f = 0; f < c->failed_count; f++) {
        uint32_t row;
        const run *u = request_row(r, c->failed_index[f], &row);
        const weir_error *e =
            c->failed_error[f] < c->error_count ? c->errors[c->failed_error[f]] : c->error;
        weir_status s =
            settle_run(b, r->group, u, row, 1, c->failed_status[f], e, again_ns, false, err);
        if (s != WEIR_OK) return s;
    }
    return WEIR_OK;
}

/* How long the sink asks to wait: in the result, or as a detail of its error, which is all that an
 * error returned by write can say. */
static int64_t retry_after_ms(const completion *c) {
    int64_t ms;
    if (c->retry_after_ms > 0) return c->retry_after_ms;
    return str_to_i64(error_get_detail(c->error, WEIR_DETAIL_RETRY_AFTER_MS), &ms) ? ms : 0;
}

/* A request has come back: counts, retries, gives up. Consumes the request. */
weir_status batcher_settle(batcher *b, request *r, const completion *c, weir_error *err) {
    group *g = r->group;
    weir_status fault = check_result(b, r, c, err);
    if (fault != WEIR_OK) return fault; /* the request stays where it is: the pipeline ends */
    int64_t now = clock_mono_ns(&clock_system);
    bool throttled = c->status == WEIR_E_THROTTLED;
    weir_status status = WEIR_OK;
    uint32_t failed = c->failed_count;
    uint64_t bytes = 0;
    for (const run *u = r->runs; u != NULL; u = u->next) {
        uint64_t w = batcher_weight(u->work, u->first, u->count);
        b->bytes -= w;
        bytes += w - UINT64_C(16) * u->count;
    }
    for (uint32_t f = 0; f < c->failed_count; f++) {
        if (c->failed_status[f] == WEIR_E_THROTTLED) throttled = true;
        bytes -= r->rows.value_len[c->failed_index[f]];
    }
    g->in_flight--;
    b->under_way--;
    b->blocked = false;
    batcher_slot_clear(b, r);
    adapt(b, g, throttled, now);
    int64_t again_ns = 0;
    if (failed > 0 || c->status != WEIR_OK) {
        again_ns = now + pause_ns(b, r->abi.attempt + 1, retry_after_ms(c));
    }
    if (failed > 0) {
        status = settle_failed_rows(b, r, c, again_ns, err);
    } else if (c->status != WEIR_OK) {
        failed = r->records;
        bytes = 0;
        for (const run *u = r->runs; u != NULL && status == WEIR_OK; u = u->next) {
            status = settle_run(b, g, u, u->first, u->count, c->status, c->error, again_ns,
                                r->records > 1, err);
        }
    }
    b->records -= r->records - failed;
    count(&b->counters->records_out, r->records - failed);
    count(&b->counters->bytes_out, bytes);
    batcher_runs_free(b, r->runs);
    batcher_request_give(b, r);
    if (status == WEIR_OK) status = failures_flush(b->failures, err);
    return status;
}
