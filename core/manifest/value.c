#include "manifest/value.h"

#include <math.h>
#include <regex.h>

#include "base/clock.h"
#include "base/limits.h"
#include "manifest/reference.h"

/* What is being read, for messages. */
typedef struct reading {
    load *l;
    const note_option *option;
    const char *what;
    const tree_node *node;
    resolved_text resolved;
} reading;

static bool read_number(reading *r, option_value *v);
static bool read_enum(reading *r, option_value *v);
static bool read_time(reading *r, option_value *v);
static bool read_template(reading *r, option_value *v);
static bool check_pattern(reading *r, weir_str text);

const char *value_kind(const tree_node *n) {
    if (n->kind == TREE_LIST) return "a list";
    if (n->kind == TREE_MAP) return "a mapping";
    return tree_is_nothing(n) ? "nothing" : "text";
}

static const char *expected_scalar(load *l, const note_option *o) {
    const char *expected = "text";
    switch (o->type) {
    case OPTION_INT:
        expected = "an integer";
        break;
    case OPTION_FLOAT:
        expected = "a number";
        break;
    case OPTION_BOOL:
        expected = "true or false";
        break;
    case OPTION_DURATION:
        expected = "a duration such as 200ms, 5s, 10m or 1h";
        break;
    case OPTION_SIZE:
        expected = "a size such as 512KiB, 5MiB or 5MB";
        break;
    case OPTION_TIME:
        expected = "a time such as 2026-01-01T00:00:00Z, or seconds since 1970";
        break;
    case OPTION_ENUM:
        return load_list(l, o->values, o->value_count);
    case OPTION_LIST:
        expected = "a list of texts";
        break;
    case OPTION_MAP:
        expected = "a mapping";
        break;
    case OPTION_TEMPLATE:
        expected = "a template";
        break;
    case OPTION_STRING:
    case OPTION_SECRET:
        break;
    }
    if (o->value_count == 0 || o->type == OPTION_STRING) return expected;
    return load_printf(l, "%s, or %s", expected, load_list(l, o->values, o->value_count));
}

const char *value_expected(load *l, const note_option *o) {
    const char *expected = expected_scalar(l, o);
    if (o->field_count == 0 || o->type == OPTION_MAP) return expected;
    return load_printf(l, "%s, or {%.*s: ...}", expected, STR_FMT(o->fields[0].name));
}

/* ", found 'x'" as far as it may be shown. */
static const char *found(const reading *r) {
    if (r->option->type == OPTION_SECRET) return "";
    if (r->resolved.tainted) {
        return load_printf(r->l, ", found the value of %s", load_show(r->l, r->node->text));
    }
    if (r->resolved.changed) {
        return load_printf(r->l, ", found %s, from %s", load_show(r->l, r->resolved.text),
                           load_show(r->l, r->node->text));
    }
    return load_printf(r->l, ", found %s", load_show(r->l, r->resolved.text));
}

static bool wrong(const reading *r, const char *hint) {
    load_error(r->l, "wrong-type", r->node->at, hint, "'%s' must be %s%s", r->what,
               value_expected(r->l, r->option), found(r));
    return false;
}

static bool is_special_word(const note_option *o, weir_str text, option_value *v) {
    for (size_t i = 0; i < o->value_count; i++) {
        if (!str_eq(o->values[i], text)) continue;
        v->is_word = true;
        v->i64 = -1;
        v->f64 = -1;
        return true;
    }
    return false;
}

bool value_read(load *l, const note_option *o, const char *what, const tree_node *n,
                option_value *v) {
    reading r = {.l = l, .option = o, .what = what, .node = n};
    if (n->kind != TREE_SCALAR || tree_is_nothing(n)) {
        load_error(l, "wrong-type", n->at,
                   tree_is_nothing(n) ? "leave the key out, or write '' for an empty text" : NULL,
                   "'%s' must be %s, found %s", what, value_expected(l, o), value_kind(n));
        return false;
    }
    text_mode mode = o->type == OPTION_TEMPLATE ? TEXT_TEMPLATE : TEXT_PLAIN;
    if (!reference_resolve(l, n, mode, &r.resolved)) return false;
    v->text = load_keep(l, r.resolved.text);
    if (r.resolved.tainted) load_mark_outside(l, v->text, n->text);
    v->is_unknown = r.resolved.unknown;
    /* What the rest of a template says is known all the same. */
    if (v->is_unknown && o->type != OPTION_TEMPLATE) return true;
    switch (o->type) {
    case OPTION_ENUM:
        return read_enum(&r, v);
    case OPTION_TIME:
        return is_special_word(o, v->text, v) || read_time(&r, v);
    case OPTION_TEMPLATE:
        return read_template(&r, v);
    case OPTION_STRING:
        return check_pattern(&r, v->text);
    case OPTION_SECRET:
        return check_pattern(&r, v->text);
    case OPTION_LIST:
        return check_pattern(&r, v->text); /* an item */
    case OPTION_MAP:
        return true; /* a value */
    case OPTION_INT:
    case OPTION_FLOAT:
    case OPTION_BOOL:
    case OPTION_DURATION:
    case OPTION_SIZE:
        return is_special_word(o, v->text, v) || read_number(&r, v);
    }
    return false;
}

bool value_text(load *l, const char *what, const tree_node *n, weir_str *out) {
    static const note_option text = {.type = OPTION_STRING};
    option_value v = {0};
    if (!value_read(l, &text, what, n, &v)) return false;
    *out = v.text;
    return true;
}

/* ---- numbers ---- */

/* A bound as a person would write it. */
static const char *show_bound(load *l, option_type type, double bound) {
    static const struct {
        double unit;
        const char *name;
    } durations[] = {{3600e9, "h"}, {60e9, "m"}, {1e9, "s"}, {1e6, "ms"}, {1e3, "us"}},
      sizes[] = {{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}};
    if (type == OPTION_DURATION) {
        for (size_t i = 0; i < sizeof durations / sizeof *durations; i++) {
            double n = bound / durations[i].unit;
            if (n >= 1 && n == floor(n)) return load_printf(l, "%.0f%s", n, durations[i].name);
        }
    }
    if (type == OPTION_SIZE) {
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            double n = bound / sizes[i].unit;
            if (n >= 1 && n == floor(n)) return load_printf(l, "%.0f%s", n, sizes[i].name);
        }
        return load_printf(l, "%.0f", bound);
    }
    if (type == OPTION_DURATION) return bound == 0 ? "0" : load_printf(l, "%.0fns", bound);
    return load_printf(l, "%.15g", bound);
}

static bool out_of_range(const reading *r) {
    const note_option *o = r->option;
    const char *min = show_bound(r->l, o->type, o->min), *max = show_bound(r->l, o->type, o->max);
    const char *expected = o->has_min && o->has_max ? load_printf(r->l, "from %s to %s", min, max)
                           : o->has_min             ? load_printf(r->l, "at least %s", min)
                                                    : load_printf(r->l, "at most %s", max);
    const char *words = o->value_count > 0 ? load_printf(r->l, ", or %s",
                                                         load_list(r->l, o->values, o->value_count))
                                           : "";
    load_error(r->l, "out-of-range", r->node->at, NULL, "'%s' must be %s%s%s", r->what, expected,
               words, found(r));
    return false;
}

static bool read_bool(reading *r, option_value *v) {
    static const char *const yes[] = {"yes", "Yes", "YES", "on", "On", "True", "TRUE", "1"};
    static const char *const no[] = {"no", "No", "NO", "off", "Off", "False", "FALSE", "0"};
    if (str_eq(v->text, STR("true")) || str_eq(v->text, STR("false"))) {
        v->i64 = v->text.ptr[0] == 't';
        return true;
    }
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++) {
        if (str_eq_z(v->text, yes[i])) return wrong(r, "write true");
        if (str_eq_z(v->text, no[i])) return wrong(r, "write false");
    }
    return wrong(r, NULL);
}

static bool read_number(reading *r, option_value *v) {
    const note_option *o = r->option;
    weir_str text = v->text;
    bool ok = false;
    const char *hint = NULL;
    int64_t ignored;
    if (o->type == OPTION_BOOL) return read_bool(r, v);
    if (o->type == OPTION_INT) {
        ok = str_to_i64(text, &v->i64);
    } else if (o->type == OPTION_DURATION) {
        ok = str_to_duration_ns(text, &v->i64);
        if (!ok && str_to_i64(text, &ignored)) hint = "add a unit: ms, s, m, h or d";
    } else if (o->type == OPTION_SIZE) {
        ok = str_to_size_bytes(text, &v->i64);
    } else {
        ok = str_to_f64(text, &v->f64) && isfinite(v->f64);
    }
    if (!ok) return wrong(r, hint);
    if (o->type != OPTION_FLOAT) v->f64 = (double)v->i64;
    if ((o->has_min && v->f64 < o->min) || (o->has_max && v->f64 > o->max)) {
        return out_of_range(r);
    }
    return true;
}

/* Epoch seconds with up to six digits of fraction, further ones are cut off. */
static bool read_epoch(weir_str text, int64_t *seconds, int64_t *micros) {
    const char *dot = memchr(text.ptr, '.', text.len);
    weir_str whole = dot != NULL ? str_make(text.ptr, (size_t)(dot - text.ptr)) : text;
    if (whole.len == 0 || !str_to_i64(whole, seconds)) return false;
    *micros = 0;
    if (dot == NULL) return true;
    size_t digits = text.len - whole.len - 1;
    if (digits == 0) return false;
    for (size_t i = 0; i < digits || i < 6; i++) {
        char c = i < digits ? dot[1 + i] : '0';
        if (c < '0' || c > '9') return false;
        if (i < 6) *micros = *micros * 10 + (c - '0');
    }
    if (text.ptr[0] == '-') *micros = -*micros;
    return true;
}

static bool read_time(reading *r, option_value *v) {
    static const int64_t year_10000 = INT64_C(253402300800); /* in seconds */
    int64_t seconds, micros;
    if (v->text.len > 0 && str_to_time_us(v->text, &v->i64)) return true;
    if (v->text.len == 0 || !read_epoch(v->text, &seconds, &micros)) return wrong(r, NULL);
    if (seconds >= year_10000 || seconds <= -year_10000) {
        load_error(r->l, "out-of-range", r->node->at, "milliseconds? divide by 1000",
                   "'%s' is in seconds since 1970 and must lie before the year 10000%s", r->what,
                   found(r));
        return false;
    }
    v->i64 = seconds * 1000000 + micros;
    return true;
}

/* ---- texts ---- */

static bool read_enum(reading *r, option_value *v) {
    const note_option *o = r->option;
    for (size_t i = 0; i < o->value_count; i++) {
        if (!str_eq(o->values[i], v->text)) continue;
        v->i64 = (int64_t)i;
        return true;
    }
    const char *hint =
        r->resolved.tainted ? NULL : load_nearest(r->l, v->text, o->values, o->value_count);
    load_error(r->l, "unknown-value", r->node->at, hint, "'%s' must be %s%s", r->what,
               value_expected(r->l, o), found(r));
    return false;
}

static bool read_template(reading *r, option_value *v) {
    size_t at = 0;
    weir_error *err = error_new();
    weir_status status = template_parse(v->text, r->l->memory, &v->tmpl, &at, err);
    if (status == WEIR_E_NOMEM) r->l->no_memory = true;
    if (status != WEIR_OK) {
        place where = r->resolved.changed ? r->node->at : tree_place(r->node, at);
        load_error(r->l, "bad-template", where, NULL, "template '%s': %s", r->what,
                   r->resolved.tainted ? "not well-formed with its references resolved"
                                       : error_text(err));
    }
    error_free(err);
    if (status != WEIR_OK) return false;
    if (!r->option->path) return true;
    bool literal = v->tmpl->count > 0 && v->tmpl->parts[0].kind == PART_LITERAL;
    if (literal) return true;
    load_error(r->l, "template-start", r->node->at,
               "a record shall not choose where the path begins: put a folder in front",
               "'%s' must begin with literal text%s", r->what, found(r));
    return false;
}

/* The pattern is the plugin's; as in JSON Schema it may match anywhere unless it has anchors. */
static bool check_pattern(reading *r, weir_str text) {
    weir_str pattern = r->option->pattern;
    if (pattern.len == 0) return true;
    const char *z = load_printf(r->l, "%.*s", STR_FMT(pattern));
    regex_t compiled;
    if (regcomp(&compiled, z, REG_EXTENDED | REG_NOSUB) != 0) {
        load_error(r->l, "bad-pattern", r->node->at, "tell the plugin's author",
                   "the pattern of '%s' in its plugin.json is no regular expression", r->what);
        return false;
    }
    bool match = regexec(&compiled, text.ptr, 0, NULL, 0) == 0;
    regfree(&compiled);
    if (match) return true;
    load_error(r->l, "pattern-mismatch", r->node->at, NULL, "'%s' must match %.*s%s", r->what,
               STR_FMT(pattern), found(r));
    return false;
}
