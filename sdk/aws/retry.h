/*
 * sdk/aws/retry.h - the standard retry mode: a budget shared by all calls of a client. Internal.
 *
 * A retry takes tokens out of the bucket, a success puts some back, so that a service in trouble is
 * not asked three times as often as a healthy one.
 */
#ifndef WEIR_AWS_RETRY_H
#define WEIR_AWS_RETRY_H

#include <stdbool.h>
#include <stdint.h>

#define RETRY_BUCKET 500u

typedef struct retry_policy { /* two published sets of numbers */
    uint32_t cost, throttle_cost, timeout_cost;
    int64_t base_ns, throttle_base_ns, max_ns;
} retry_policy;

typedef struct retry_bucket {
    const retry_policy *policy;
    uint32_t tokens;
} retry_bucket;

/* `revised`: the numbers of 2026 (14 and 5, 50 ms and 1 s), else the long-known ones (5, 10 for
 * timeouts, 1 s). */
void retry_init(retry_bucket *b, bool revised);
/* Takes the tokens of one retry; 0 = there are not enough, do not retry. */
uint32_t retry_acquire(retry_bucket *b, bool throttled, bool timed_out);
/* After a success: what the last retry of the call cost, 0 if it needed none. */
void retry_refund(retry_bucket *b, uint32_t last_cost);
/* Delay before retry number `retry` (from 1) with full jitter: `random` is uniform over 64 bits.
 * `wish_ms` of the server (-1 = none) replaces it, within [delay, delay + 5 s]. */
int64_t retry_delay_ns(const retry_bucket *b, uint32_t retry, bool throttled, int64_t wish_ms,
                       uint64_t random);
/* Uniform in [0, min(max, base * 2^(retry-1))]. */
int64_t retry_jitter_ns(uint32_t retry, int64_t base_ns, int64_t max_ns, uint64_t random);

/*
 * The adaptive mode's addition: after the first throttling, calls are sent no faster than the
 * service was seen to bear, the rate growing by a cubic curve (as TCP's does) until the next one.
 */
typedef struct retry_rate {
    bool on;                                /* throttled at least once */
    double fill, most, have;                /* tokens a second, at most, at present */
    double measured;                        /* calls a second, smoothed */
    double last_most, window_s;             /* of the curve */
    double filled_s, throttled_s, bucket_s; /* times; bucket: the half second being counted */
    uint32_t counted;
} retry_rate;
void retry_rate_init(retry_rate *r);
/* Takes a token: 0, or the nanoseconds until there will be one. */
int64_t retry_rate_take(retry_rate *r, int64_t now_ns);
/* After each answer. */
void retry_rate_answer(retry_rate *r, int64_t now_ns, bool throttled);

#endif
