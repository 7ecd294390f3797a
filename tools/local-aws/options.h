/*
 * tools/local-aws/options.h - the command line of weir-local.
 *
 * Checks what can be checked without the services: shapes of addresses, numbers and words. Names of
 * streams and buckets are the services' to check (local_service.setup). Every refusal names the
 * option, its value and the rule.
 */
#ifndef WEIR_LOCAL_OPTIONS_H
#define WEIR_LOCAL_OPTIONS_H

#include "local.h"

#define OPTIONS_LIST_MAX 1000u

typedef struct arguments {
    local_options local; /* `setup` points to the lists below */
    const char *streams[OPTIONS_LIST_MAX], *buckets[OPTIONS_LIST_MAX], *delivery[OPTIONS_LIST_MAX];
    const char *port_file, *faults, *self_signed; /* NULL: not asked for */
    char address[256];
} arguments;

/* `*a` is zeroed by the caller. 0 to go on; else the status to end with, plus one: what there was
 * to say has been said. Texts in `*a` are those of argv. */
int options_read(int argc, char **argv, arguments *a);

#endif
