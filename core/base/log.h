/*
 * core/base/log.h - lines on standard error.
 *
 *   2026-11-21T10:00:00.123Z info  clicks/kinesis[0]: opened 4 shards
 *
 * One write(2) a line, so that lines of many threads never mix. Control characters are escaped.
 * WEIR_LOG selects levels: "info", "debug", "kinesis=debug,info" (component name first). [any]
 */
#ifndef WEIR_BASE_LOG_H
#define WEIR_BASE_LOG_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#include "weir/types.h"

/* Parses a WEIR_LOG value; false (and the default stays) if it makes no sense. Before threads. */
bool log_configure(const char *spec);
/* The level of a component ("kinesis"), or the general one for NULL. */
uint32_t log_level(const char *component);
void log_write(uint32_t level, const char *component, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void log_vwrite(uint32_t level, const char *component, const char *format, va_list args)
    __attribute__((format(printf, 3, 0)));
/* `where` goes between level and text as is: "clicks/kinesis[0]"; `component` selects the level. */
void log_line(uint32_t level, const char *component, const char *where, weir_str text);
/* Called around each line while a status line is on the terminal, so that it can be cleared and
 * drawn again. NULL to remove. */
void log_set_hooks(void (*before)(void), void (*after)(void));

#endif
