/*
 * tests/unit/aws/fake_host.h - as much of a host as an AWS plugin needs: options from a table, a
 * batch builder on malloc, errors, splits, a counted pool of segments.
 */
#ifndef TEST_FAKE_HOST_H
#define TEST_FAKE_HOST_H

#include <stdbool.h>

#include "weir/abi.h"

typedef struct fake_option {
    const char *key, *value; /* the value as config would give it; numbers as decimal text */
} fake_option;

typedef struct fake_split {
    char id[256], private_bytes[1024], parents[2][256];
    uint32_t private_len, parent_count;
} fake_split;

typedef struct fake_host fake_host;
fake_host *fake_host_new(const fake_option *options); /* ends with a NULL key */
void fake_host_free(fake_host *h); /* asserts that no segment, batch or reservation is left */
weir_ctx *fake_ctx(fake_host *h);

/* The budget of all hosts, unlimited at first, and the most that was in use since it was set. */
void fake_memory_set(uint64_t bytes);
uint64_t fake_memory_peak(void);

weir_error *fake_error(fake_host *h); /* emptied by this call */
const char *fake_error_text(const fake_host *h);
const char *fake_error_detail(const fake_host *h, const char *key); /* "" if absent */
uint32_t fake_error_flags(const fake_host *h);
const char *fake_log(const fake_host *h); /* all lines */

/* The list that enumerate fills; emptied by this call. */
weir_split_list *fake_list(fake_host *h);
const fake_split *fake_splits(const fake_host *h, uint32_t *count);
weir_writer *fake_writer(fake_host *h); /* keeps blobs */
const weir_blob *const *fake_blobs(fake_host *h, uint32_t *count);

#endif
