#include "manifest/template.h"

#include "base/limits.h"
#include "base/str.h"

/* Conversions whose result is the same everywhere: no locale, no time zone of the machine, no
 * padding flags, which are extensions. */
static const char conversions[] = "aAbBCdDeFgGhHIjmMpRSTuUVwWyY%";

typedef struct parser {
    weir_str text;
    size_t pos;
    arena *memory;
    size_t *at;
    weir_error *err;
} parser;

/* Parts are gathered in chunks on the arena, since their number is not known before. */
typedef struct part_list {
    template_part *parts;
    size_t count, capacity;
} part_list;

static weir_status part_push(parser *p, part_list *list, template_part part);
static weir_status parse_placeholder(parser *p, template_part *part);
static weir_status parse_path(parser *p, size_t end, template_path *out);
static weir_status keep(parser *p, weir_str s, weir_str *out);
static void count_needs(template_program *program);

static weir_status fail(parser *p, size_t at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static weir_status fail(parser *p, size_t at, const char *format, ...) {
    if (p->at != NULL) *p->at = at;
    va_list args;
    va_start(args, format);
    error_vset(p->err, WEIR_E_INVALID_ARG, WEIR_ERR_CONFIG, format, args);
    va_end(args);
    return WEIR_E_INVALID_ARG;
}

static weir_status no_memory(parser *p) {
    return error_set(p->err, WEIR_E_NOMEM, 0, "no memory for a template");
}

/* Reads literal text up to the next placeholder or the end. */
static weir_status parse_literal(parser *p, template_part *part) {
    buf b;
    buf_init(&b, LIMIT_TEMPLATE_BYTES);
    while (p->pos < p->text.len) {
        char c = p->text.ptr[p->pos];
        char next = p->pos + 1 < p->text.len ? p->text.ptr[p->pos + 1] : '\0';
        if (c == '$' && next == '{') break;
        buf_append_char(&b, c);
        p->pos += c == '$' && next == '$' ? 2 : 1;
    }
    part->kind = PART_LITERAL;
    weir_status status = buf_ok(&b) ? keep(p, buf_str(&b), &part->text) : no_memory(p);
    buf_free(&b);
    return status;
}

weir_status template_parse(weir_str text, arena *memory, const template_program **out, size_t *at,
                           weir_error *err) {
    parser p = {.text = text, .memory = memory, .at = at, .err = err};
    if (at != NULL) *at = 0;
    if (text.len > LIMIT_TEMPLATE_BYTES) {
        return error_set(err, WEIR_E_TOO_LARGE, WEIR_ERR_CONFIG,
                         "a template of %llu bytes, at most %llu are possible",
                         (unsigned long long)text.len, (unsigned long long)LIMIT_TEMPLATE_BYTES);
    }
    template_program *program = arena_zalloc(memory, sizeof *program);
    if (program == NULL) return no_memory(&p);
    weir_status status = keep(&p, text, &program->source);
    part_list list = {0};
    while (status == WEIR_OK && p.pos < text.len) {
        template_part part = {0};
        bool placeholder = text.len - p.pos >= 2 && memcmp(text.ptr + p.pos, "${", 2) == 0;
        status = placeholder ? parse_placeholder(&p, &part) : parse_literal(&p, &part);
        if (status == WEIR_OK) status = part_push(&p, &list, part);
    }
    if (status != WEIR_OK) return status;
    program->parts = list.parts;
    program->count = list.count;
    count_needs(program);
    *out = program;
    return WEIR_OK;
}

weir_status template_parse_path(weir_str text, arena *memory, template_path *out, size_t *at,
                                weir_error *err) {
    parser p = {.text = text, .memory = memory, .at = at, .err = err};
    if (at != NULL) *at = 0;
    weir_status status = parse_path(&p, text.len, out);
    if (status == WEIR_OK && p.pos < text.len) {
        return fail(&p, p.pos, "expected '.' or '[', found '%c'", text.ptr[p.pos]);
    }
    return status;
}

/* ---- words ---- */

typedef struct word {
    const char *name;
    part_kind kind;
    bool has_argument;
} word;

static const word words[] = {
    {"key", PART_KEY, false},       {"value", PART_VALUE, false},
    {"split", PART_SPLIT, false},   {"position", PART_POSITION, false},
    {"uuid", PART_UUID, false},     {"random", PART_RANDOM, false},
    {"header:", PART_HEADER, true}, {"time:", PART_TIME, true},
    {"now:", PART_NOW, true},
};

static const word *find_word(weir_str name) {
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        weir_str w = str_of(words[i].name);
        if (words[i].has_argument ? str_starts(name, w) : str_eq(name, w)) return &words[i];
    }
    return NULL;
}

/* The part of `name` in front of its filters. */
static weir_str without_filters(weir_str name) {
    const char *bar = name.len > 0 ? memchr(name.ptr, '|', name.len) : NULL;
    return bar != NULL ? str_make(name.ptr, (size_t)(bar - name.ptr)) : name;
}

bool template_is_record(weir_str name) {
    if (name.len > 0 && name.ptr[0] == '.') return true;
    return find_word(without_filters(name)) != NULL;
}

/* ---- placeholders ---- */

static weir_status keep(parser *p, weir_str s, weir_str *out) {
    *out = s.len > 0 ? arena_str(p->memory, s) : str_of("");
    return out->ptr != NULL ? WEIR_OK : no_memory(p);
}

static weir_status part_push(parser *p, part_list *list, template_part part) {
    if (list->count == list->capacity) {
        size_t capacity = list->capacity == 0 ? 4 : list->capacity * 2;
        template_part *grown = arena_array(p->memory, capacity, sizeof *grown);
        if (grown == NULL) return no_memory(p);
        if (list->count > 0) memcpy(grown, list->parts, list->count * sizeof *grown);
        list->parts = grown;
        list->capacity = capacity;
    }
    list->parts[list->count++] = part;
    return WEIR_OK;
}

static weir_status check_time_format(parser *p, size_t start, size_t end) {
    if (start == end) return fail(p, start, "expected a time format such as %%Y-%%m-%%d");
    for (size_t i = start; i < end; i++) {
        if (p->text.ptr[i] != '%') continue;
        i++;
        if (i == end) return fail(p, i - 1, "'%%' at the end of a time format, write %%%% for one");
        char c = p->text.ptr[i];
        if (c == '\0' || strchr(conversions, c) == NULL) {
            return fail(p, i - 1,
                        "time conversion '%%%c' is not one of %%Y %%m %%d %%H %%M %%S "
                        "%%F %%T %%j %%y %%b ...",
                        c);
        }
    }
    return WEIR_OK;
}

/* "|urlencode|default:x" from pos to end. */
static weir_status parse_filters(parser *p, size_t end, template_part *part) {
    size_t count = 0;
    for (size_t i = p->pos; i < end; i++) count += p->text.ptr[i] == '|';
    if (count == 0) return WEIR_OK;
    template_filter *filters = arena_array(p->memory, count, sizeof *filters);
    if (filters == NULL) return no_memory(p);
    part->filters = filters;
    part->filter_count = count;
    for (size_t n = 0; n < count; n++) {
        size_t start = ++p->pos;
        while (p->pos < end && p->text.ptr[p->pos] != '|') p->pos++;
        weir_str filter = str_make(p->text.ptr + start, p->pos - start);
        if (str_eq(filter, STR("urlencode"))) {
            filters[n].kind = FILTER_URLENCODE;
            filters[n].argument = str_of("");
        } else if (str_starts(filter, STR("default:"))) {
            filters[n].kind = FILTER_DEFAULT;
            weir_status status =
                keep(p, str_make(filter.ptr + 8, filter.len - 8), &filters[n].argument);
            if (status != WEIR_OK) return status;
        } else {
            return fail(p, start, "unknown filter '%.*s', expected urlencode or default:TEXT",
                        (int)(filter.len > 60 ? 60 : filter.len), filter.ptr);
        }
    }
    return WEIR_OK;
}

static weir_status parse_word(parser *p, size_t end, template_part *part) {
    size_t start = p->pos;
    weir_str name = without_filters(str_make(p->text.ptr + start, end - start));
    const word *w = find_word(name);
    if (w == NULL) {
        return fail(p, start,
                    "unknown template value '%.*s', expected key, value, .field, header:NAME, "
                    "split, position, time:FORMAT, now:FORMAT, uuid or random",
                    (int)(name.len > 60 ? 60 : name.len), name.ptr);
    }
    part->kind = w->kind;
    p->pos = start + name.len;
    if (!w->has_argument) return WEIR_OK;
    size_t prefix = strlen(w->name);
    weir_str argument = str_make(name.ptr + prefix, name.len - prefix);
    if (part->kind == PART_HEADER && argument.len == 0) {
        return fail(p, start + prefix, "expected the name of a header");
    }
    if (part->kind != PART_HEADER) {
        weir_status status = check_time_format(p, start + prefix, p->pos);
        if (status != WEIR_OK) return status;
    }
    return keep(p, argument, &part->text);
}

static weir_status parse_placeholder(parser *p, template_part *part) {
    size_t open = p->pos;
    const char *close = memchr(p->text.ptr + open, '}', p->text.len - open);
    if (close == NULL) return fail(p, open, "'${' without '}', write $$ for a dollar sign");
    size_t end = (size_t)(close - p->text.ptr);
    p->pos = open + 2;
    weir_status status;
    if (p->pos < end && p->text.ptr[p->pos] == '.') {
        part->kind = PART_FIELD;
        status = parse_path(p, end, &part->path);
    } else {
        status = parse_word(p, end, part);
    }
    if (status == WEIR_OK && p->pos < end && p->text.ptr[p->pos] != '|') {
        status = fail(p, p->pos, "expected '.', '[', '|' or '}', found '%c'", p->text.ptr[p->pos]);
    }
    if (status == WEIR_OK) status = parse_filters(p, end, part);
    p->pos = end + 1;
    return status;
}

/* ---- paths ---- */

static bool is_name_char(char c) {
    return (unsigned char)c > ' ' && strchr(".[]|{}\"'$()", c) == NULL && c != 0x7f;
}

static weir_status parse_index(parser *p, size_t end, template_step *step) {
    uint64_t index = 0;
    size_t start = p->pos;
    while (p->pos < end && p->text.ptr[p->pos] >= '0' && p->text.ptr[p->pos] <= '9') {
        index = index * 10 + (uint64_t)(p->text.ptr[p->pos] - '0');
        if (index > UINT32_MAX) return fail(p, start, "index is too large");
        p->pos++;
    }
    if (p->pos == start) return fail(p, start, "expected an index or a quoted name after '['");
    step->index = (uint32_t)index;
    return WEIR_OK;
}

static weir_status parse_bracket(parser *p, size_t end, template_step *step) {
    p->pos++;
    weir_status status;
    if (p->pos < end && p->text.ptr[p->pos] == '"') {
        size_t start = ++p->pos;
        while (p->pos < end && p->text.ptr[p->pos] != '"') p->pos++;
        if (p->pos == end) return fail(p, start - 1, "name without closing quote");
        status = keep(p, str_make(p->text.ptr + start, p->pos - start), &step->name);
        p->pos++;
    } else {
        status = parse_index(p, end, step);
    }
    if (status != WEIR_OK) return status;
    if (p->pos == end || p->text.ptr[p->pos] != ']') return fail(p, p->pos, "expected ']'");
    p->pos++;
    return WEIR_OK;
}

/* Steps from p->pos as far as they go: "." NAME, "[" INDEX "]" or "[" QUOTED "]". The first begins
 * with a dot, so ".[0]" indexes a record that is itself an array. */
static weir_status parse_path(parser *p, size_t end, template_path *out) {
    template_step steps[LIMIT_TREE_DEPTH];
    size_t count = 0, start = p->pos;
    if (p->pos >= end || p->text.ptr[p->pos] != '.') {
        return fail(p, p->pos, "a path begins with '.', as in .user.name or .items[0]");
    }
    while (p->pos < end && (p->text.ptr[p->pos] == '.' || p->text.ptr[p->pos] == '[')) {
        if (count == LIMIT_TREE_DEPTH) {
            return fail(p, start, "a path of more than %u steps", LIMIT_TREE_DEPTH);
        }
        template_step step = {0};
        weir_status status = WEIR_OK;
        bool dot = p->text.ptr[p->pos] == '.';
        bool root = dot && count == 0 && p->pos + 1 < end && p->text.ptr[p->pos + 1] == '[';
        if (root) p->pos++;
        if (dot && !root) {
            size_t name = ++p->pos;
            while (p->pos < end && is_name_char(p->text.ptr[p->pos])) p->pos++;
            if (p->pos == name) return fail(p, name, "expected a field name after '.'");
            status = keep(p, str_make(p->text.ptr + name, p->pos - name), &step.name);
        } else {
            status = parse_bracket(p, end, &step);
        }
        if (status != WEIR_OK) return status;
        steps[count++] = step;
    }
    template_step *copy = arena_array(p->memory, count, sizeof *copy);
    if (copy == NULL) return no_memory(p);
    memcpy(copy, steps, count * sizeof *copy);
    out->steps = copy;
    out->len = count;
    return WEIR_OK;
}

static void count_needs(template_program *program) {
    program->constant = true;
    for (size_t i = 0; i < program->count; i++) {
        const template_part *part = &program->parts[i];
        bool meta = part->kind == PART_HEADER && str_starts(part->text, STR("weir."));
        program->constant = program->constant && part->kind == PART_LITERAL;
        program->needs_tape = program->needs_tape || part->kind == PART_FIELD;
        program->needs_time = program->needs_time || part->kind == PART_TIME;
        program->needs_key = program->needs_key || part->kind == PART_KEY;
        program->needs_headers = program->needs_headers || (part->kind == PART_HEADER && !meta);
        program->needs_meta = program->needs_meta || meta;
    }
}
