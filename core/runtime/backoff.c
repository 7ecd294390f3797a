#include "runtime/backoff.h"

int64_t backoff_ns(const retry_spec *retry, uint32_t failures, const template_env *env) {
    int64_t ceiling = retry->base_ns;
    for (uint32_t f = 1; f < failures && ceiling < retry->max_ns; f++) ceiling *= 2;
    if (ceiling > retry->max_ns) ceiling = retry->max_ns;
    if (!retry->jitter) return ceiling;
    /* 53 bits are what a double holds: a uniform number in [0, 1). */
    return (int64_t)((double)(env->random(env->opaque) >> 11) * 0x1p-53 * (double)ceiling);
}

bool backoff_may_pass(weir_status status, const weir_error *err) {
    uint32_t flags = error_flags(err);
    if ((flags & (WEIR_ERR_FATAL | WEIR_ERR_CONFIG)) != 0) return false;
    return (flags & WEIR_ERR_RETRYABLE) != 0 || status == WEIR_E_TIMEOUT ||
           status == WEIR_E_THROTTLED;
}
