#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/str.h"

#define RULES_MAX 64u
/* A line, and a text before it is escaped; longer ones end in "...". */
#define LINE_MAX_BYTES ((size_t)12 * 1024)
#define TEXT_MAX_BYTES ((size_t)8 * 1024)

typedef struct rule {
    char component[LIMIT_NAME_BYTES + 1];
    uint32_t level;
} rule;

static const char *const level_names[] = {"off", "error", "warn", "info", "debug", "trace"};

/* Written before there are threads. */
static uint32_t general_level = WEIR_LOG_INFO;
static rule rules[RULES_MAX];
static uint32_t rule_count;

/* Keeps a line and the hooks around it together; it also makes log_set_hooks(NULL, NULL) return
 * only when no hook is running any more. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static void (*hook_before)(void);
static void (*hook_after)(void);

static bool level_of(weir_str name, uint32_t *level) {
    for (uint32_t i = 0; i < sizeof level_names / sizeof *level_names; i++) {
        if (!str_eq_z(name, level_names[i])) continue;
        *level = i;
        return true;
    }
    return false;
}

static weir_str trim(weir_str s) {
    while (s.len > 0 && s.ptr[0] == ' ') s = str_make(s.ptr + 1, s.len - 1);
    while (s.len > 0 && s.ptr[s.len - 1] == ' ') s.len--;
    return s;
}

bool log_configure(const char *spec) {
    rule parsed[RULES_MAX];
    uint32_t count = 0, general = WEIR_LOG_INFO;
    const char *at = spec;
    for (bool more = true; more;) {
        const char *comma = strchr(at, ',');
        weir_str item = trim(str_make(at, comma != NULL ? (size_t)(comma - at) : strlen(at)));
        more = comma != NULL;
        at = more ? comma + 1 : at;
        const char *equals = item.len > 0 ? memchr(item.ptr, '=', item.len) : NULL;
        if (equals == NULL) {
            if (!level_of(item, &general)) return false;
            continue;
        }
        size_t name_len = (size_t)(equals - item.ptr);
        weir_str name = trim(str_make(item.ptr, name_len));
        weir_str word = trim(str_make(equals + 1, item.len - name_len - 1));
        if (name.len == 0 || name.len > LIMIT_NAME_BYTES || count == RULES_MAX) return false;
        if (!level_of(word, &parsed[count].level)) return false;
        memcpy(parsed[count].component, name.ptr, name.len);
        parsed[count++].component[name.len] = '\0';
    }
    general_level = general;
    rule_count = count;
    if (count > 0) memcpy(rules, parsed, count * sizeof *rules);
    return true;
}

uint32_t log_level(const char *component) {
    if (component != NULL) {
        for (uint32_t i = rule_count; i-- > 0;) /* the last word on a component counts */
            if (strcmp(rules[i].component, component) == 0) return rules[i].level;
    }
    return general_level;
}

void log_write(uint32_t level, const char *component, const char *format, ...) {
    va_list args;
    va_start(args, format);
    log_vwrite(level, component, format, args);
    va_end(args);
}

void log_vwrite(uint32_t level, const char *component, const char *format, va_list args) {
    if (level > log_level(component)) return;
    char text[TEXT_MAX_BYTES];
    int n = vsnprintf(text, sizeof text, format, args);
    if (n < 0) return;
    size_t len = (size_t)n;
    if (len >= sizeof text) {
        len = sizeof text - 1;
        memcpy(text + len - 3, "...", 3);
    }
    log_line(level, component, component, str_make(text, len));
}

/* Appends `s` escaped, keeping `spare` bytes free; false if not all of it fits. */
static bool append_escaped(char *line, size_t *at, size_t size, size_t spare, weir_str s) {
    char piece[STR_ESCAPE_MAX];
    for (size_t i = 0, len; i < s.len;) {
        i = str_escape_next(s, i, piece, &len);
        if (*at + len + spare > size) return false;
        memcpy(line + *at, piece, len);
        *at += len;
    }
    return true;
}

static void write_all(const char *bytes, size_t len) {
    while (len > 0) {
        ssize_t n = write(STDERR_FILENO, bytes, len);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return; /* nobody is left to tell */
        bytes += n;
        len -= (size_t)n;
    }
}

void log_line(uint32_t level, const char *component, const char *where, weir_str text) {
    if (level > log_level(component)) return;
    char line[LINE_MAX_BYTES];
    int64_t now_us = clock_wall_us(&clock_system);
    time_t seconds = (time_t)(now_us / 1000000);
    struct tm tm;
    (void)gmtime_r(&seconds, &tm);
    size_t at = strftime(line, 64, "%Y-%m-%dT%H:%M:%S", &tm);
    uint32_t known = level < WEIR_LOG_TRACE ? level : WEIR_LOG_TRACE;
    int n =
        snprintf(line + at, 64, ".%03dZ %-5s ", (int)(now_us / 1000 % 1000), level_names[known]);
    at += n > 0 ? (size_t)n : 0;
    if (where != NULL && where[0] != '\0') {
        weir_str shown = str_make(where, strnlen(where, 512));
        if (append_escaped(line, &at, sizeof line, 8, shown)) {
            line[at++] = ':';
            line[at++] = ' ';
        }
    }
    if (!append_escaped(line, &at, sizeof line, 4, text)) {
        memcpy(line + at, "...", 3);
        at += 3;
    }
    line[at++] = '\n';
    int kept = errno;
    (void)pthread_mutex_lock(&lock);
    if (hook_before != NULL) hook_before();
    write_all(line, at);
    if (hook_after != NULL) hook_after();
    (void)pthread_mutex_unlock(&lock);
    errno = kept;
}

void log_set_hooks(void (*before)(void), void (*after)(void)) {
    (void)pthread_mutex_lock(&lock);
    hook_before = before;
    hook_after = after;
    (void)pthread_mutex_unlock(&lock);
}
