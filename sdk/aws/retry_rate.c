#include <math.h>
#include <string.h>

#include "retry.h"

#define BETA 0.7  /* what remains of the rate after a throttling */
#define SCALE 0.4 /* of the cubic curve */
#define FILL_MIN 0.5
#define SMOOTH 0.8
#define WINDOW_S 0.5 /* calls are counted in half seconds */

static void measure(retry_rate *r, double now);
static void refill(retry_rate *r, double now);
static void set_fill(retry_rate *r, double now, double rate);
static double smaller(double a, double b);

void retry_rate_init(retry_rate *r) {
    memset(r, 0, sizeof *r);
}

int64_t retry_rate_take(retry_rate *r, int64_t now_ns) {
    double now = (double)now_ns / 1e9;
    if (!r->on) return 0;
    refill(r, now);
    if (r->have >= 1) {
        r->have -= 1;
        return 0;
    }
    return (int64_t)((1 - r->have) / r->fill * 1e9) + 1;
}

void retry_rate_answer(retry_rate *r, int64_t now_ns, bool throttled) {
    double now = (double)now_ns / 1e9, rate;
    measure(r, now);
    if (throttled) {
        double seen = r->on ? smaller(r->measured, r->fill) : r->measured;
        r->last_most = seen;
        r->window_s = cbrt(r->last_most * (1 - BETA) / SCALE);
        r->throttled_s = now;
        rate = seen * BETA;
        r->on = true;
    } else {
        double t = now - r->throttled_s - r->window_s;
        rate = SCALE * t * t * t + r->last_most;
    }
    if (r->on) set_fill(r, now, smaller(rate, 2 * r->measured));
}

static void measure(retry_rate *r, double now) {
    double bucket = floor(now / WINDOW_S) * WINDOW_S;
    r->counted++;
    if (r->bucket_s <= 0) r->bucket_s = bucket - WINDOW_S;
    if (bucket <= r->bucket_s) return;
    double rate = r->counted / (bucket - r->bucket_s);
    r->measured = rate * SMOOTH + r->measured * (1 - SMOOTH);
    r->counted = 0;
    r->bucket_s = bucket;
}

static void refill(retry_rate *r, double now) {
    if (r->filled_s > 0 && now > r->filled_s)
        r->have = smaller(r->most, r->have + (now - r->filled_s) * r->fill);
    r->filled_s = now;
}

static void set_fill(retry_rate *r, double now, double rate) {
    refill(r, now); /* what is due so far came at the old rate */
    r->fill = rate > FILL_MIN ? rate : FILL_MIN;
    r->most = r->fill > 1 ? r->fill : 1;
    r->have = smaller(r->have, r->most);
}

static double smaller(double a, double b) {
    return a < b ? a : b;
}
