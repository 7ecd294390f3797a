/*
 * core/runtime/backoff.h - how long to wait before trying again: one rule for all of the runtime.
 */
#ifndef WEIR_RUNTIME_BACKOFF_H
#define WEIR_RUNTIME_BACKOFF_H

#include "manifest/manifest.h"
#include "runtime/template_eval.h"

/* The pause after `failures` failures in a row (from 1): base * 2^(failures - 1), at most max;
 * under full jitter anywhere between nothing and that. [any] */
int64_t backoff_ns(const retry_spec *retry, uint32_t failures, const template_env *env);

/* True if a source's call that failed may succeed when it is repeated. [any] */
bool backoff_may_pass(weir_status status, const weir_error *err);

#endif
