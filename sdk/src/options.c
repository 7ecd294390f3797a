/*
 * Options of the node: the config facet with answers instead of statuses. The host has already
 * checked types and ranges, so that a failure here can only mean "no value and no default".
 */
#include "weir/sdk.h"

weir_str weir_opt_str(weir_ctx *ctx, const char *key) {
    weir_str value = weir_str_of(NULL);
    if (weir_api_of(ctx)->config.get_str(ctx, key, &value) != WEIR_OK) value = weir_str_of(NULL);
    return value;
}

int64_t weir_opt_i64(weir_ctx *ctx, const char *key) {
    int64_t value = 0;
    return weir_api_of(ctx)->config.get_i64(ctx, key, &value) == WEIR_OK ? value : 0;
}

double weir_opt_f64(weir_ctx *ctx, const char *key) {
    double value = 0;
    return weir_api_of(ctx)->config.get_f64(ctx, key, &value) == WEIR_OK ? value : 0;
}

int weir_opt_bool(weir_ctx *ctx, const char *key) {
    uint32_t value = 0;
    return weir_api_of(ctx)->config.get_bool(ctx, key, &value) == WEIR_OK && value != 0;
}

int weir_opt_is(weir_ctx *ctx, const char *key, const char *value) {
    return weir_str_is(weir_opt_str(ctx, key), value);
}

int weir_opt_is_set(weir_ctx *ctx, const char *key) {
    uint32_t set = 0;
    return weir_api_of(ctx)->config.is_set(ctx, key, &set) == WEIR_OK && set != 0;
}

uint32_t weir_opt_count(weir_ctx *ctx, const char *key) {
    uint32_t count = 0;
    return weir_api_of(ctx)->config.count(ctx, key, &count) == WEIR_OK ? count : 0;
}

weir_status weir_opt_entry(weir_ctx *ctx, const char *key, uint32_t index, weir_str *name,
                           weir_str *value) {
    weir_str unused;
    return weir_api_of(ctx)->config.entry(ctx, key, index, name != NULL ? name : &unused, value);
}
