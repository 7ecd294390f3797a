/*
 * plugins/std/path_rule.h - paths that record fields had a say in.
 */
#ifndef WEIR_STD_PATH_RULE_H
#define WEIR_STD_PATH_RULE_H

#include <stdbool.h>
#include <stdint.h>

#include "weir/types.h"

/* What a template says of all paths that come out of it. Its literal text is the manifest author's
 * own choice: everything in front of the first placeholder may say what it likes ("../out/" for
 * instance), and folders behind one may be hidden ("out/${.user}/.cache/x"). */
typedef struct path_rule {
    uint64_t literal_len; /* bytes of the path in front of the first placeholder's value */
    uint32_t hidden;      /* components behind them whose slash and dot are both literal */
    bool of_records;      /* has a placeholder */
    bool folder;          /* the template ends in '/' */
    bool literal_name;    /* the file name is literal from its first byte to its last */
} path_rule;

/* `option` as written: "$$" is a dollar sign, a placeholder ends with its first brace. */
void path_rule_init(path_rule *rule, weir_str option);

/* NULL if the evaluated path may be used, else what is wrong with it (static, lower case). Refused
 * beyond the literal part: components "..", ".", empty ones and NUL bytes, hidden files and folders
 * that a record made, file names that begin with a dot unless they are literal as a whole
 * (unfinished files are called so), components of more than 255 bytes and paths of more than 4095.
 */
const char *path_rule_check(const path_rule *rule, weir_str path);

#endif
