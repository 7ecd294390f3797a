/*
 * core/supervise/link_private.h - what goes over the link, and how a worker gets its end.
 *
 *   worker -> supervisor                supervisor -> worker
 *   ready                               drain
 *   beat                                request ID {...}
 *   stopping
 *   failed failed|config|lost "text"    text is a JSON string
 *   answer ID {...}
 *
 * Both ends are the same program, so there is no version; a line that makes no sense is ignored.
 */
#ifndef WEIR_SUPERVISE_LINK_PRIVATE_H
#define WEIR_SUPERVISE_LINK_PRIVATE_H

#include "supervise/link.h"

typedef struct link_setup {
    int fd; /* the worker's end, blocking; the link owns it from now on */
    const char *pipeline;
    const char *state_folder; /* for crash reports; NULL: standard error only */
    link_history history;     /* last_error must outlive the link */
} link_setup;

/* In the forked worker. NULL without memory. */
worker_link *link_new(const link_setup *setup);
void link_free(worker_link *l); /* stops it first; NULL is ignored */

/* "config" and back; WORKER_FAILED for a word that is none. */
const char *link_outcome_word(worker_outcome outcome);
worker_outcome link_outcome_of(weir_str word);

#endif
