/*
 * plugins/std/path_rule.h - paths that record fields had a say in.
 */
#ifndef WEIR_STD_PATH_RULE_H
#define WEIR_STD_PATH_RULE_H

#include <stdbool.h>
#include <stdint.h>

#include "weir/types.h"

/* The option as written: everything in front of its first placeholder is the manifest author's own
 * and may say what it likes, "../out/" for instance. */
typedef struct path_rule {
    uint64_t literal_len; /* bytes in front of the first placeholder */
    bool folder;          /* the template ends in '/' */
} path_rule;

void path_rule_init(path_rule *rule, weir_str option);

/* NULL if the evaluated path may be used, else what is wrong with it (static, lower case). Refused
 * beyond the literal part: components "..", ".", empty ones and NUL bytes, file names that begin
 * with a dot, which are those of unfinished files, folders whose dot is not of the literal part,
 * components of more than 255 bytes and paths of more than 4095. */
const char *path_rule_check(const path_rule *rule, weir_str path);

#endif
