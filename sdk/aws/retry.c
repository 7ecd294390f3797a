#include "retry.h"

#define MS 1000000LL
#define WISH_SLACK_NS (5000 * MS)

static const retry_policy revised_policy = {14, 5, 14, 50 * MS, 1000 * MS, 20000 * MS};
static const retry_policy classic_policy = {5, 5, 10, 1000 * MS, 1000 * MS, 20000 * MS};

void retry_init(retry_bucket *b, bool revised) {
    b->policy = revised ? &revised_policy : &classic_policy;
    b->tokens = RETRY_BUCKET;
}

uint32_t retry_acquire(retry_bucket *b, bool throttled, bool timed_out) {
    uint32_t cost = throttled   ? b->policy->throttle_cost
                    : timed_out ? b->policy->timeout_cost
                                : b->policy->cost;
    if (b->tokens < cost) return 0;
    b->tokens -= cost;
    return cost;
}

void retry_refund(retry_bucket *b, uint32_t last_cost) {
    b->tokens += last_cost ? last_cost : 1;
    if (b->tokens > RETRY_BUCKET) b->tokens = RETRY_BUCKET;
}

int64_t retry_delay_ns(const retry_bucket *b, uint32_t retry, bool throttled, int64_t wish_ms,
                       uint64_t random) {
    int64_t base = throttled ? b->policy->throttle_base_ns : b->policy->base_ns;
    int64_t delay = retry_jitter_ns(retry, base, b->policy->max_ns, random);
    if (wish_ms < 0) return delay;
    int64_t wish = wish_ms > 60000 ? 60000 * MS : wish_ms * MS;
    if (wish < delay) return delay;
    return wish > delay + WISH_SLACK_NS ? delay + WISH_SLACK_NS : wish;
}

int64_t retry_jitter_ns(uint32_t retry, int64_t base_ns, int64_t max_ns, uint64_t random) {
    int64_t ceiling = base_ns;
    for (uint32_t i = 1; i < retry && ceiling < max_ns; i++) ceiling *= 2;
    if (ceiling > max_ns) ceiling = max_ns;
    if (ceiling <= 0) return 0;
    return (int64_t)(random % ((uint64_t)ceiling + 1));
}
