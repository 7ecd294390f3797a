#include "loader/version.h"

#include <string.h>

#include "base/str.h"

#if defined(__x86_64__)
#define MACHINE "x86_64"
#elif defined(__aarch64__)
#define MACHINE "aarch64"
#else
#error "name this processor as plugin.json does"
#endif

/* Decimal digits without a leading zero, below 10^9. Advances *s. */
static bool take_number(weir_str *s, uint32_t *out) {
    uint32_t n = 0;
    uint64_t digits = 0;
    while (digits < s->len && s->ptr[digits] >= '0' && s->ptr[digits] <= '9') {
        if (digits == 9) return false;
        n = n * 10 + (uint32_t)(s->ptr[digits] - '0');
        digits++;
    }
    if (digits == 0 || (digits > 1 && s->ptr[0] == '0')) return false;
    s->ptr += digits;
    s->len -= digits;
    *out = n;
    return true;
}

static bool take_char(weir_str *s, char c) {
    if (s->len == 0 || s->ptr[0] != c) return false;
    s->ptr++;
    s->len--;
    return true;
}

bool version_abi_minor(weir_str text, uint32_t *minor) {
    uint32_t major;
    uint32_t n;
    if (!take_number(&text, &major) || !take_char(&text, '.') || !take_number(&text, &n)) {
        return false;
    }
    if (text.len > 0 || major > 1 || n >= 1000000) return false;
    if (major == 0 && n >= VERSION_FIRST_RELEASE) return false;
    *minor = major == 0 ? n : VERSION_FIRST_RELEASE + n;
    return true;
}

const char *version_platform(void) {
    return "linux-" MACHINE;
}

weir_status version_check_abi(const note *plugin, uint32_t host_minor, const char *host_text,
                              weir_error *err) {
    uint32_t built_with;
    uint32_t requires;
    if (plugin->abi_major != WEIR_ABI_MAJOR) {
        weir_status status = error_set(
            err, WEIR_E_INCOMPATIBLE, 0,
            "needs plugin ABI major %u (built with %.*s), this host has major %u (%s)",
            plugin->abi_major, STR_FMT(plugin->abi_built_with), WEIR_ABI_MAJOR, host_text);
        error_hint(err, "install a %s of the plugin",
                   plugin->abi_major > WEIR_ABI_MAJOR ? "newer weir or an older version"
                                                      : "newer version");
        return status;
    }
    if (!version_abi_minor(plugin->abi_built_with, &built_with) ||
        !version_abi_minor(plugin->abi_requires, &requires)) {
        return error_set(err, WEIR_E_DATA, 0,
                         "plugin.json in the note: abi.built_with \"%.*s\" or abi.requires "
                         "\"%.*s\" is no ABI version, such as %s",
                         STR_FMT(plugin->abi_built_with), STR_FMT(plugin->abi_requires), host_text);
    }
    if (requires > host_minor) {
        weir_status status = error_set(err, WEIR_E_INCOMPATIBLE, 0,
                                       "needs plugin ABI %.*s or newer, this host has %s",
                                       STR_FMT(plugin->abi_requires), host_text);
        error_hint(err, "install a newer weir or an older version of the plugin");
        return status;
    }
    /* Between drafts and the release anything may have changed that sizes do not show. */
    if (host_minor >= VERSION_FIRST_RELEASE && built_with < VERSION_FIRST_RELEASE) {
        weir_status status =
            error_set(err, WEIR_E_INCOMPATIBLE, 0,
                      "was built with the draft ABI %.*s, this host has the release %s",
                      STR_FMT(plugin->abi_built_with), host_text);
        error_hint(err, "install a version of the plugin that was built for %s", host_text);
        return status;
    }
    if (!str_eq_z(plugin->platform, version_platform())) {
        return error_set(err, WEIR_E_INCOMPATIBLE, 0, "was built for %.*s, this host runs on %s",
                         STR_FMT(plugin->platform), version_platform());
    }
    return WEIR_OK;
}

/* ---- semantic versions ---- */

typedef struct semver {
    uint32_t number[3];
    weir_str pre; /* behind the '-', empty for a release */
    bool valid;
} semver;

static semver semver_parse(weir_str s) {
    semver v = {.valid = false};
    for (unsigned i = 0; i < 3; i++) {
        if (i > 0 && !take_char(&s, '.')) return v;
        if (!take_number(&s, &v.number[i])) return v;
    }
    const char *plus = s.len > 0 ? memchr(s.ptr, '+', (size_t)s.len) : NULL;
    if (plus != NULL) s.len = (uint64_t)(plus - s.ptr);
    if (take_char(&s, '-'))
        v.pre = s;
    else if (s.len > 0)
        return v;
    v.valid = true;
    return v;
}

/* Takes one identifier off a dotted list. */
static weir_str take_identifier(weir_str *s) {
    const char *dot = memchr(s->ptr, '.', (size_t)s->len);
    weir_str first = {s->ptr, dot != NULL ? (uint64_t)(dot - s->ptr) : s->len};
    uint64_t used = dot != NULL ? first.len + 1 : first.len;
    s->ptr += used;
    s->len -= used;
    return first;
}

/* Pre-releases: numbers by value and before words, words by their bytes, more parts behind fewer.
 */
static int compare_pre(weir_str a, weir_str b) {
    if (a.len == 0 || b.len == 0) return a.len == b.len ? 0 : a.len == 0 ? 1 : -1;
    while (a.len > 0 && b.len > 0) {
        weir_str x = take_identifier(&a);
        weir_str y = take_identifier(&b);
        weir_str nx = x;
        weir_str ny = y;
        uint32_t i = 0;
        uint32_t k = 0;
        bool x_number = take_number(&nx, &i) && nx.len == 0;
        bool y_number = take_number(&ny, &k) && ny.len == 0;
        int order;
        if (x_number && y_number)
            order = i < k ? -1 : i > k;
        else if (x_number != y_number)
            order = x_number ? -1 : 1;
        else
            order = str_cmp(x, y);
        if (order != 0) return order;
    }
    return a.len > 0 ? 1 : b.len > 0 ? -1 : 0;
}

int version_compare(weir_str a, weir_str b) {
    semver x = semver_parse(a);
    semver y = semver_parse(b);
    if (!x.valid || !y.valid) return x.valid == y.valid ? str_cmp(a, b) : x.valid ? 1 : -1;
    for (unsigned i = 0; i < 3; i++) {
        if (x.number[i] != y.number[i]) return x.number[i] < y.number[i] ? -1 : 1;
    }
    return compare_pre(x.pre, y.pre);
}
