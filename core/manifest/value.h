/*
 * core/manifest/value.h - one scalar of the manifest as a value of an option's type.
 *
 * Texts that came from the environment or a file, and secrets, never enter a message. Private to
 * the module.
 */
#ifndef WEIR_MANIFEST_VALUE_H
#define WEIR_MANIFEST_VALUE_H

#include "manifest/load.h"

/* "a duration such as 500ms or 5m", for messages. */
const char *value_expected(load *l, const note_option *o);

/* Reads `n` as the scalar that `o` describes into `v` (text, i64, f64, tmpl, is_word). `what` is
 * the full key for messages. False after an error that is reported. */
bool value_read(load *l, const note_option *o, const char *what, const tree_node *n,
                option_value *v);

/* A scalar that is text of any kind: names, paths. False after an error that is reported. */
bool value_text(load *l, const char *what, const tree_node *n, weir_str *out);

/* "a list", "a mapping", "nothing" or "text": for messages that must not show a text. */
const char *value_kind(const tree_node *n);

#endif
