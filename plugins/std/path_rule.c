#include "path_rule.h"

#include <limits.h>
#include <string.h>

void path_rule_init(path_rule *rule, weir_str option) {
    const char *dollar = option.len > 0 ? memchr(option.ptr, '$', (size_t)option.len) : NULL;
    rule->literal_len = dollar != NULL ? (uint64_t)(dollar - option.ptr) : option.len;
    rule->folder = option.len > 0 && option.ptr[option.len - 1] == '/';
}

const char *path_rule_check(const path_rule *rule, weir_str path) {
    uint64_t literal = rule->literal_len < path.len ? rule->literal_len : path.len;
    uint64_t at = literal;
    if (path.len == 0) return "the path is empty";
    if (memchr(path.ptr, '\0', (size_t)path.len) != NULL) return "the path contains a NUL byte";
    if ((path.ptr[path.len - 1] == '/') != rule->folder) {
        return rule->folder ? "the path does not end in /" : "the file name is empty";
    }
    /* The component that the literal part ends in belongs to the record as well. */
    while (at > 0 && path.ptr[at - 1] != '/') at--;
    if (rule->literal_len >= path.len) return NULL; /* no placeholder, or all of them empty */
    if (path.len >= PATH_MAX) return "the path is longer than 4095 bytes";
    while (at < path.len) {
        const char *slash = memchr(path.ptr + at, '/', (size_t)(path.len - at));
        uint64_t end = slash != NULL ? (uint64_t)(slash - path.ptr) : path.len;
        uint64_t len = end - at;
        if (len == 0) return "the path has an empty component";
        if (len == 1 && path.ptr[at] == '.') return "the path has a component '.'";
        if (len == 2 && memcmp(path.ptr + at, "..", 2) == 0) return "the path has a component '..'";
        if (slash == NULL && path.ptr[at] == '.') return "the file name begins with a dot";
        /* A folder may be hidden if the manifest says so, as in "out/.${.u}/x". */
        if (at >= literal && path.ptr[at] == '.') return "a folder of the path begins with a dot";
        if (len > NAME_MAX) return "a component of the path is longer than 255 bytes";
        at = end + 1;
    }
    return NULL;
}
