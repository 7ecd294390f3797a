#include "profile.h"

#include <ctype.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_BYTES_MAX (1024u * 1024u)

static char *path_of(aws_profiles *p, const aws_env *env, const char *variable, const char *tail);
static file_state load_file(aws_profiles *p, const char *path, bool credentials);
static bool add(aws_profiles *p, weir_str section, weir_str parent, weir_str key, weir_str value,
                bool credentials);
static bool append(aws_setting *s, weir_str more);
static weir_str trim(const char *start, const char *end);
static char *copy_section(weir_str s);
static char *copy(weir_str s);
static void wipe(char *z);

static const char *process_get(void *opaque, const char *name) {
    (void)opaque;
    return getenv(name);
}

aws_env aws_env_process(void) {
    aws_env env = {process_get, NULL};
    return env;
}

const char *aws_env_get(const aws_env *env, const char *name) {
    const char *value = env->get(env->opaque, name);
    return value && *value ? value : NULL;
}

void aws_profiles_load(aws_profiles *p, const aws_env *env) {
    memset(p, 0, sizeof *p);
    p->config_path = path_of(p, env, "AWS_CONFIG_FILE", "/.aws/config");
    p->credentials_path = path_of(p, env, "AWS_SHARED_CREDENTIALS_FILE", "/.aws/credentials");
    p->config_state = load_file(p, p->config_path, false);
    p->credentials_state = load_file(p, p->credentials_path, true);
}

void aws_profiles_free(aws_profiles *p) {
    for (size_t i = 0; i < p->count; i++) {
        free(p->settings[i].section);
        free(p->settings[i].key);
        wipe(p->settings[i].value);
    }
    free(p->settings);
    free(p->config_path);
    free(p->credentials_path);
    memset(p, 0, sizeof *p);
}

/*
 * Lines: "[section]", "key = value", "# comment", "; comment". An indented line below "key =" is a
 * nested setting ("parent.key"); below a key with a value it continues that value.
 */
file_state aws_profiles_parse(aws_profiles *p, weir_str bytes, bool credentials) {
    file_state state = AWS_FILE_READ;
    weir_str section = {"", 0}, parent = {"", 0};
    bool in_section = false;
    const char *line = bytes.ptr, *end = bytes.ptr + bytes.len;
    if (bytes.len >= 3 && memcmp(line, "\xef\xbb\xbf", 3) == 0) line += 3;
    while (line < end) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        if (!stop) stop = end;
        weir_str s = trim(line, stop);
        bool indented = *line == ' ' || *line == '\t';
        line = stop + 1;
        if (s.len == 0 || s.ptr[0] == '#' || s.ptr[0] == ';') continue;
        if (s.ptr[0] == '[' && !indented) {
            const char *close = memchr(s.ptr, ']', (size_t)s.len);
            in_section = close != NULL;
            if (close)
                section = trim(s.ptr + 1, close);
            else
                state = AWS_FILE_MALFORMED;
            parent.len = 0;
            continue;
        }
        const char *equals = memchr(s.ptr, '=', (size_t)s.len);
        if (indented && in_section && p->count > 0 && parent.len == 0) {
            if (!append(&p->settings[p->count - 1], s)) p->no_memory = true;
            continue;
        }
        if (!equals || equals == s.ptr || !in_section) {
            state = AWS_FILE_MALFORMED;
            continue;
        }
        weir_str key = trim(s.ptr, equals), value = trim(equals + 1, s.ptr + s.len);
        weir_str none = {"", 0};
        if (!indented) parent = value.len == 0 ? key : none;
        if (!add(p, section, indented ? parent : none, key, value, credentials))
            p->no_memory = true;
    }
    return state;
}

const char *aws_section_get(const aws_profiles *p, const char *section, const char *key) {
    const char *found = NULL;
    for (size_t i = 0; i < p->count; i++) {
        const aws_setting *s = &p->settings[i];
        if (!s->in_credentials && strcmp(s->section, section) == 0 && strcmp(s->key, key) == 0)
            found = s->value; /* of two lines the last one counts */
    }
    return found;
}

static bool is_profile(const aws_setting *s, const char *profile) {
    if (s->in_credentials) return strcmp(s->section, profile) == 0;
    if (strncmp(s->section, "profile ", 8) == 0) return strcmp(s->section + 8, profile) == 0;
    return strcmp(profile, "default") == 0 && strcmp(s->section, "default") == 0;
}

const char *aws_profile_get(const aws_profiles *p, const char *profile, const char *key) {
    const char *found = NULL;
    bool from_credentials = false;
    for (size_t i = 0; i < p->count; i++) {
        const aws_setting *s = &p->settings[i];
        if (strcmp(s->key, key) != 0 || !is_profile(s, profile)) continue;
        if (from_credentials && !s->in_credentials) continue;
        found = s->value;
        from_credentials = s->in_credentials;
    }
    return found && *found ? found : NULL;
}

bool aws_profile_exists(const aws_profiles *p, const char *profile) {
    for (size_t i = 0; i < p->count; i++)
        if (is_profile(&p->settings[i], profile)) return true;
    return false;
}

const char *aws_profile_default(const aws_env *env) {
    const char *name = aws_env_get(env, "AWS_PROFILE");
    if (!name) name = aws_env_get(env, "AWS_DEFAULT_PROFILE");
    return name ? name : "default";
}

const char *aws_file_state_text(file_state state) {
    switch (state) {
    case AWS_FILE_READ:
        return "read";
    case AWS_FILE_ABSENT:
        return "no such file";
    case AWS_FILE_UNREADABLE:
        return "cannot be read";
    case AWS_FILE_MALFORMED:
        return "has lines that are neither a section nor a setting";
    }
    return "";
}

/* NULL: there is none. A path that did not fit into memory is not an absent file. */
static char *path_of(aws_profiles *p, const aws_env *env, const char *variable, const char *tail) {
    const char *given = aws_env_get(env, variable);
    const char *home = aws_env_get(env, "HOME");
    if (given && given[0] != '~')
        home = "", tail = given;
    else if (!home)
        return NULL;
    else if (given)
        tail = given + 1;
    size_t size = strlen(home) + strlen(tail) + 1;
    char *path = malloc(size);
    if (path)
        snprintf(path, size, "%s%s", home, tail);
    else
        p->no_memory = true;
    return path;
}

static file_state load_file(aws_profiles *p, const char *path, bool credentials) {
    if (!path) return AWS_FILE_ABSENT;
    FILE *f = fopen(path, "rbe");
    if (!f) return errno == ENOENT || errno == ENOTDIR ? AWS_FILE_ABSENT : AWS_FILE_UNREADABLE;
    setvbuf(f, NULL, _IONBF, 0); /* stdio's buffer would keep a copy of the secrets */
    text t = {0};
    char piece[4096];
    size_t n;
    while (t.len <= FILE_BYTES_MAX && (n = fread(piece, 1, sizeof piece, f)) > 0)
        text_add(&t, piece, n);
    bool failed = ferror(f) || t.failed || t.len > FILE_BYTES_MAX;
    if (t.failed) p->no_memory = true;
    fclose(f);
    OPENSSL_cleanse(piece, sizeof piece);
    file_state state =
        failed ? AWS_FILE_UNREADABLE : aws_profiles_parse(p, text_str(&t), credentials);
    text_free(&t);
    return state;
}

static bool add(aws_profiles *p, weir_str section, weir_str parent, weir_str key, weir_str value,
                bool credentials) {
    if (p->count == p->capacity) {
        size_t want = p->capacity ? p->capacity * 2 : 16;
        aws_setting *grown = realloc(p->settings, want * sizeof *grown); /* pointers only */
        if (!grown) return false;
        p->settings = grown;
        p->capacity = want;
    }
    aws_setting s = {copy_section(section), NULL, copy(value), credentials};
    size_t size = (size_t)(parent.len + key.len) + 2;
    s.key = malloc(size);
    if (!s.section || !s.key || !s.value) {
        free(s.section);
        free(s.key);
        wipe(s.value);
        return false;
    }
    snprintf(s.key, size, "%.*s%s%.*s", (int)parent.len, parent.ptr, parent.len ? "." : "",
             (int)key.len, key.ptr);
    for (char *c = s.key; *c; c++) *c = (char)tolower((unsigned char)*c);
    p->settings[p->count++] = s;
    return true;
}

static bool append(aws_setting *s, weir_str more) {
    size_t old = strlen(s->value);
    char *joined = malloc(old + (size_t)more.len + 2);
    if (!joined) return false;
    memcpy(joined, s->value, old);
    joined[old] = '\n';
    memcpy(joined + old + 1, more.ptr, (size_t)more.len);
    joined[old + 1 + more.len] = '\0';
    wipe(s->value);
    s->value = joined;
    return true;
}

static weir_str trim(const char *start, const char *end) {
    while (start < end && isspace((unsigned char)*start)) start++;
    while (end > start && isspace((unsigned char)end[-1])) end--;
    weir_str s = {start, (uint64_t)(end - start)};
    return s;
}

/* [profile "x"] is [profile x]. */
static char *copy_section(weir_str s) {
    char *z = copy(s);
    char *out = z;
    for (char *in = z; in && *in; in++)
        if (*in != '"' && *in != '\'') *out++ = *in;
    if (out) *out = '\0';
    return z;
}

static char *copy(weir_str s) {
    char *z = malloc((size_t)s.len + 1);
    if (!z) return NULL;
    memcpy(z, s.ptr, (size_t)s.len);
    z[s.len] = '\0';
    return z;
}

static void wipe(char *z) {
    if (z) OPENSSL_cleanse(z, strlen(z));
    free(z);
}
