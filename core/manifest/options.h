/*
 * core/manifest/options.h - a mapping of the manifest checked against a table of options.
 *
 * The tables are those of plugin.json and, for the core's own words, static ones written here in
 * the same form: one engine knows types, ranges, defaults, unknown keys and nearest matches.
 * Private to the module.
 */
#ifndef WEIR_MANIFEST_OPTIONS_H
#define WEIR_MANIFEST_OPTIONS_H

#include "manifest/load.h"

typedef struct options_source {
    const tree_node *map; /* NULL = nothing is given */
    const note_option *table;
    size_t count;
    const weir_str *prefixes; /* "properties." */
    size_t prefix_count;
    const note_rule *rules;
    size_t rule_count;
    const weir_str *others; /* keys of the mapping that somebody else reads */
    size_t other_count;
    bool component;    /* options of a component: values may come from plugins' references */
    bool partial;      /* every key that is not in the table is somebody else's */
    const char *label; /* in front of keys in messages: "settings." */
    const char *owner; /* "sink 'out'", for messages */
    place at;          /* of the mapping, or of its node */
} options_source;

/* Reads given values and defaults, reports what is wrong. [control] */
void options_read(load *l, const options_source *source, options *out);

/* For static tables. An option whose `group` is this text exists as a word but not as a feature:
 * its use is refused with its `description`. */
extern const char options_unavailable[];
#define OPTION_TEXT(literal)                                                                       \
    { (literal), sizeof(literal) - 1 }
#define OPTION_REFUSED(why) .group = {options_unavailable, 1}, .description = OPTION_TEXT(why)

/* Convenience on the result: the value of a key that has one, given or by default. */
int64_t options_i64(const options *o, const char *key, int64_t otherwise);
weir_str options_text(const options *o, const char *key);
bool options_given(const options *o, const char *key);

#endif
