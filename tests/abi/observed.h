/*
 * tests/abi/observed.h - what a sample plugin tells the test host about what it saw of it.
 */
#ifndef WEIR_TESTS_ABI_OBSERVED_H
#define WEIR_TESTS_ABI_OBSERVED_H

#include <stdint.h>

#define OBSERVED_EXTENSION "test.observed/1"

/* Growth of the synthetic next minor: the value of each next_field, and next_slot(v) = v + 1. */
#define NEXT_FIELD_OF_HOST 5u
#define NEXT_FIELD_OF_PLUGIN 7u

/* What a host of 0.10 or newer gives as weir_open's run_id. */
#define RUN_ID "3f9c0a5d7be14c21"

typedef struct observed {
    uint32_t struct_size;
    uint32_t plugin_minor; /* of the headers it was built with */
    uint32_t host_minor;   /* as the host says */
    uint32_t calls;        /* operations called so far */
    uint32_t grown;        /* of these, with arguments that hold the next minor's fields */
    uint32_t host_grown;   /* host, task, config, tape, state: tables with the next minor's slot */
    uint32_t run_ids;      /* calls of open that told RUN_ID */
    uint32_t reserved;
    uint64_t field_sum; /* of the next_field of all arguments */
    uint64_t slot_sum;  /* of next_slot(1) of all arguments */
} observed;

#endif
