/*
 * core/manifest/words.h - how the core's own words are written as option tables. Private to the
 * module.
 */
#ifndef WEIR_MANIFEST_WORDS_H
#define WEIR_MANIFEST_WORDS_H

#include "base/clock.h"
#include "base/limits.h"
#include "manifest/options.h"

#define COUNT_OF(array) (sizeof(array) / sizeof *(array))
#define MILLISECONDS(n) ((double)(n) * (double)CLOCK_NS_PER_MS)
#define SECONDS(n) ((double)(n) * (double)CLOCK_NS_PER_S)
#define HOURS(n) SECONDS((n)*3600.0)

#define WORD(text, kind) .name = OPTION_TEXT(text), .type = (kind)
#define RANGE(least, most) .has_min = true, .min = (least), .has_max = true, .max = (most)
#define DEFAULT(text) .has_default = true, .default_text = OPTION_TEXT(text)
#define VALUES(array) .values = (array), .value_count = COUNT_OF(array)
#define FIELDS(array) .fields = (array), .field_count = COUNT_OF(array)

#endif
