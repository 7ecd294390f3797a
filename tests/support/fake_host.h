/*
 * tests/support/fake_host.h - a host that does what a test says: options from a table, a clock that
 * stands still, completions that are remembered. Batches, tapes and errors are the core's own.
 *
 * One per process; instances are the test's. Not for several threads, but for `cancel`.
 */
#ifndef WEIR_TESTS_FAKE_HOST_H
#define WEIR_TESTS_FAKE_HOST_H

#include <stdbool.h>

#include "base/error.h"
#include "batch/batch.h"
#include "weir/sdk.h"
#include "weir/transform.h"

#define FAKE_OPTIONS_MAX 32
#define FAKE_VERDICTS_MAX 64
#define FAKE_BLOBS_MAX 64

/* What state.write was given: copies that fake_writer_free releases. */
struct weir_writer {
    weir_blob blob[FAKE_BLOBS_MAX];
    const weir_blob *ptr[FAKE_BLOBS_MAX]; /* as open, commit and recover take them */
    uint32_t count;
    uint32_t fail_at; /* the n-th write fails; 0 = none does */
};
void fake_writer_free(weir_writer *w); /* and makes it empty */

/* What write_done said, copied. */
typedef struct fake_result {
    uint64_t token;
    weir_status status;
    uint32_t failed_count;
    uint32_t *failed_index;
    weir_status *failed_status;
    char text[256]; /* of the request's error, else of the first failed record's */
    char hint[256];
    uint32_t flags;
} fake_result;

typedef struct fake_split {
    char id[256];
    char private_bytes[4200];
    uint32_t private_len;
    char position[WEIR_POSITION_MAX];
    uint32_t position_len;
} fake_split;

struct weir_split_list {
    fake_split *split;
    uint32_t count;
};

/* The host's side of one instance: give &instance->head.abi as its ctx. */
typedef struct fake_instance {
    batch_ctx head;
    struct {
        const char *key;
        const char *text;
        int64_t number;
        double real;
        bool set;
    } option[FAKE_OPTIONS_MAX];
    uint32_t option_count;
    const char *lists[8]; /* values of the list option `path` */
    uint32_t list_count;
    const char *base_dir;
    weir_format format;
    /* The template column of a request; NULL = WEIR_E_UNSUPPORTED. */
    const weir_column *column;
    fake_result result; /* the last write_done */
    uint32_t results;
    uint64_t flushed_epoch;
    weir_status flush_status;
    char flush_text[256];
    uint32_t flush_flags;
    uint32_t flushes;
    uint64_t committed_token; /* the last commit_done */
    uint32_t verdicts[FAKE_VERDICTS_MAX];
    uint32_t verdict_count;
    uint32_t commits;
    char commit_text[256];
    uint32_t idle_calls;
    uint32_t idle; /* the last split_idle */
    uint32_t wakes;
} fake_instance;

const weir_host *fake_host(void);
/* The clock: starts at 1 s, moves only here. */
void fake_host_advance(int64_t ns);
int64_t fake_host_now(void);

/* The n-th allocation from now on fails, once; 0 = none. True if it has happened since. */
void fake_host_fail_alloc(uint32_t n);
bool fake_host_failed_alloc(void);

void fake_instance_init(fake_instance *i); /* framing by lines, no options, base_dir "" */
/* Releases what it holds and asserts that no batch is left. */
void fake_instance_free(fake_instance *i);
void fake_set_text(fake_instance *i, const char *key, const char *text);
void fake_set_number(fake_instance *i, const char *key, int64_t number);
void fake_set_real(fake_instance *i, const char *key, double real);

/* Zeroed but for what every open needs. */
void fake_open_fill(weir_open *open, weir_limits *limits);
/* Creates and opens a component with role TASK, instance 0 of 1; asserts success. */
void *fake_source_open(fake_instance *i, const weir_component *c);
void *fake_sink_open(fake_instance *i, const weir_component *c);

void fake_splits_free(weir_split_list *list);

/* A request over values; `trailer` 1: they stand one behind the other with '\n' between. The rows
 * and their bytes belong to the caller: fake_request_free. */
typedef struct fake_request {
    weir_request request;
    weir_rows rows;
    const char **value_ptr;
    uint32_t *value_len;
    char *bytes;
} fake_request;
void fake_request_make(fake_request *r, const weir_str *values, uint32_t count, bool trailer);
void fake_request_free(fake_request *r);

#endif
