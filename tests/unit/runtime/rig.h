/*
 * tests/unit/runtime/rig.h - batches in one line, a sink that a test scripts, and what a node needs
 * around it so that a batcher believes in it.
 */
#ifndef TEST_RUNTIME_RIG_H
#define TEST_RUNTIME_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/str.h"
#include "runtime/batcher.h"

/* One record; NULL members are absent. `len` 0 = as long as the text. */
typedef struct rec {
    const char *value;
    size_t len;
    const char *key;
    int64_t time_us; /* 0 = none */
    const char *header, *header_value;
    const char *position; /* metadata column weir.position */
} rec;

const weir_batch *rig_batch(batch_home *home, const char *split, const rec *records, uint32_t n);
/* Records "a", "b", ... of one character each. */
const weir_batch *rig_letters(batch_home *home, const char *split, const char *letters);
/* The batch with a tape of one object a record: {"v": value text, "n": index}. Consumes it. */
const weir_batch *rig_decoded(batch_home *home, const weir_batch *batch);

/* A template program that lives in `memory`; fails the test if it does not parse. */
const template_program *rig_template(arena *memory, const char *text);

/* Clock stands at 1,700,000,000.5 s; random numbers are 1, 2, 3, ... */
extern const template_env rig_env;

/* ---- one sink node with its batcher ---- */

typedef struct rig rig;

/* What one write got. */
typedef struct write_call {
    uint64_t token;
    uint32_t count, group, attempt;
    char values[512]; /* "a b c" */
    const weir_request *request;
} write_call;

#define RIG_CALLS 512u

struct rig {
    arena *memory;
    batch_home *home;
    node node;
    plan_stage stage;
    note_component note;
    bound_component bound;
    instance sink;
    wake wake;
    counters counters;
    weir_limits limits;
    option_value values[4];
    note_option options[4];
    /* dead letters */
    node letters_node;
    plan_stage letters_stage;
    plan_edge letters_edge;
    wake letters_wake;
    channel *letters_channel;
    outlet *letters;
    failures *failures;
    batcher *batcher;
    template_env env; /* clock as rig_env; random numbers spread by sink.random */
    weir_error *err;
    /* the script: NULL takes everything */
    weir_status (*on_write)(rig *r, weir_write *args);
    int step; /* the script's own */
    write_call calls[RIG_CALLS];
    uint32_t call_count;
};

/* No limits, in_flight 1, unlimited retries at once (base 0). */
void rig_init(rig *r);
/* Adds a template option; before rig_start. */
void rig_option(rig *r, const char *key, const char *text, bool groups);
/* Makes failures, dead letters (if on_error says so) and the batcher. */
void rig_start(rig *r);
/* Frees everything; asserts that the memory home is empty again. */
void rig_end(rig *r);

void rig_add(rig *r, const char *letters); /* batcher_add of rig_letters; must succeed */
void rig_pump(rig *r, bool cut);           /* must succeed */
/* Pumps until `calls` writes were made, sleeping only as batcher_next_ns says. */
void rig_pump_until(rig *r, uint32_t calls);
void rig_ok(rig *r, uint32_t call); /* completes the token of that call */
void rig_fail(rig *r, uint32_t call, weir_status status, uint32_t flags);
/* One failed record of a request that is otherwise done. */
void rig_fail_row(rig *r, uint32_t call, uint32_t row, weir_status status, uint32_t flags);
void rig_assert_call(const rig *r, uint32_t call, const char *values);
/* Nothing queued, nothing charged but spare memory, and `out` records delivered. */
void rig_assert_done(const rig *r, uint64_t out);

#endif
