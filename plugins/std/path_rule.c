#include "path_rule.h"

#include <limits.h>
#include <string.h>

void path_rule_init(path_rule *rule, weir_str option) {
    bool after_slash = false; /* the byte before is a literal slash */
    memset(rule, 0, sizeof *rule);
    rule->folder = option.len > 0 && option.ptr[option.len - 1] == '/';
    rule->literal_name = true;
    for (uint64_t i = 0; i < option.len; i++) {
        char c = option.ptr[i];
        char next = i + 1 < option.len ? option.ptr[i + 1] : '\0';
        if (c == '$' && next == '{') {
            const char *close = memchr(option.ptr + i, '}', (size_t)(option.len - i));
            rule->of_records = true;
            rule->literal_name = false;
            after_slash = false;
            if (close == NULL) return; /* the host refuses such a template */
            i = (uint64_t)(close - option.ptr);
            continue;
        }
        if (c == '$' && next == '$') i++;
        if (!rule->of_records) rule->literal_len++;
        if (rule->of_records && after_slash && c == '.') rule->hidden++;
        after_slash = c == '/';
        if (after_slash) rule->literal_name = true;
    }
}

const char *path_rule_check(const path_rule *rule, weir_str path) {
    uint64_t at = rule->literal_len < path.len ? rule->literal_len : path.len;
    uint32_t hidden = 0;
    if (path.len == 0) return "the path is empty";
    if (memchr(path.ptr, '\0', (size_t)path.len) != NULL) return "the path contains a NUL byte";
    if ((path.ptr[path.len - 1] == '/') != rule->folder) {
        return rule->folder ? "the path does not end in /" : "the file name is empty";
    }
    if (!rule->of_records) return NULL;
    if (path.len >= PATH_MAX) return "the path is longer than 4095 bytes";
    /* The component that the literal part ends in belongs to the record as well. */
    while (at > 0 && path.ptr[at - 1] != '/') at--;
    while (at < path.len) {
        const char *slash = memchr(path.ptr + at, '/', (size_t)(path.len - at));
        uint64_t end = slash != NULL ? (uint64_t)(slash - path.ptr) : path.len;
        uint64_t len = end - at;
        if (len == 0) return "the path has an empty component";
        if (len == 1 && path.ptr[at] == '.') return "the path has a component '.'";
        if (len == 2 && memcmp(path.ptr + at, "..", 2) == 0) return "the path has a component '..'";
        if (len > NAME_MAX) return "a component of the path is longer than 255 bytes";
        if (path.ptr[at] == '.') {
            if (slash == NULL && !rule->literal_name) return "the file name begins with a dot";
            /* One that begins in the literal part is the manifest's, as in "out/.${.u}/x". */
            if (at >= rule->literal_len) hidden++;
        }
        at = end + 1;
    }
    /* Each literal "/." makes one hidden component of every path. If there are more, a record made
     * the others, wherever they stand. */
    return hidden > rule->hidden ? "a folder of the path begins with a dot" : NULL;
}
