/*
 * core/supervise/event.h - what the supervisor says on standard error.
 *
 *   2026-11-21T10:00:00.123Z warn  clicks: worker 4711 was killed by SIGSEGV; restart 1 in 10 s
 *   {"time":"2026-11-21T10:00:00.123Z","level":"warn","pipeline":"clicks","event":"failed",...}
 */
#ifndef WEIR_SUPERVISE_EVENT_H
#define WEIR_SUPERVISE_EVENT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "weir/types.h"

typedef struct event_source {
    const char *pipeline; /* NULL: the supervisor itself */
    bool json;
} event_source;

/* `word` is the event's name in JSON ("started"), `pid` the worker it is about or 0. */
void event_say(const event_source *from, uint32_t level, const char *word, pid_t pid,
               const char *format, ...) __attribute__((format(printf, 5, 6)));

/* "SIGSEGV", or "signal 77". */
const char *event_signal_name(int number, char *buffer, size_t size);
/* "10 s", "1.5 s", "200 ms". */
void event_duration(int64_t ns, buf *out);

#endif
