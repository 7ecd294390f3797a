/*
 * core/runtime/live_check.h - credentials, endpoints and names of a plan, tried for real.
 *
 * Each component of each node, and the serde of its format, that has weir.component.check/1 is
 * opened as CONTROL, asked, and closed: one after the other, no record moves. Every other one is
 * only made, so that nothing is touched that nobody checks.
 */
#ifndef WEIR_RUNTIME_LIVE_CHECK_H
#define WEIR_RUNTIME_LIVE_CHECK_H

#include "base/error.h"
#include "runtime/plan.h"

/* What was tried, and how it went: valid during the call. */
typedef struct live_finding {
    const node *node;
    bool format; /* the serde of the node's format, not its component */
    weir_str component;
    bool nothing; /* it has nothing to try */
    weir_status status;
    weir_str text;
    const weir_error *error; /* of a failure: code, hint; may be empty */
} live_finding;

typedef struct live_check_config {
    const plan *plan;
    registry *plugins;
    int64_t timeout_ns; /* of one component */
    bool (*interrupted)(void *opaque);
    /* From the component's thread, one at a time; all of them before live_check returns. */
    void (*found)(void *opaque, const live_finding *finding);
    void *opaque;
} live_check_config;

/* CANCELLED if it was interrupted, else OK: failures are findings. `left_behind`: a component did
 * not come back, even cancelled; plan and plugins must stay for ever. [control] */
weir_status live_check(const live_check_config *config, bool *left_behind, weir_error *err);

#endif
