/*
 * core/runtime/redact.h - fetched values are kept out of what plugins say.
 *
 * A value that a plugin fetched may stand in an option that another plugin takes for harmless: a
 * stream's name, an address. Whatever plugins give to the log or put into errors passes here, and
 * shows the reference in the value's place. Values that are too short to be secrets, or to be told
 * from the rest of a text, stay. For the life of the process.
 */
#ifndef WEIR_RUNTIME_REDACT_H
#define WEIR_RUNTIME_REDACT_H

#include <stdbool.h>

#include "base/buf.h"

#define REDACT_BYTES_MIN 6u

/* From now on `value` is shown as `shown`, "${secretsmanager:db:password}"; both are copied. False
 * without memory. [control] */
bool redact_add(weir_str value, weir_str shown);
/* `text`, or what may be shown of it, made in `scratch`. [any] */
weir_str redact(weir_str text, buf *scratch);

#endif
