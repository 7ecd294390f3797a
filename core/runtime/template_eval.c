#include "runtime/template_eval.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/limits.h"
#include "base/str.h"
#include "weir/json.h"

/* The formatted text of one second, kept because neighbours mostly share it. */
typedef struct time_cache {
    int64_t second;
    bool valid;
    uint16_t len;
    char text[256];
} time_cache;

struct template_eval {
    const template_program *program;
    template_env env;
    time_cache *caches; /* one a part */
    buf scratch;        /* a part before its filters */
};

const weir_value *path_find(const weir_value *root, const template_path *path) {
    const weir_value *v = root;
    for (size_t i = 0; i < path->len && v != NULL; i++) {
        const template_step *step = &path->steps[i];
        v = step->name.ptr != NULL ? weir_value_member(v, step->name.ptr, step->name.len)
                                   : weir_value_element(v, step->index);
    }
    return v;
}

static bool meta_text(const weir_column *column, uint32_t row, weir_str *out) {
    uint32_t at = column->encoding == WEIR_COLUMN_CONSTANT     ? 0
                  : column->encoding == WEIR_COLUMN_DICTIONARY ? column->index[row]
                                                               : row;
    if (column->ptr[at] == NULL) return false;
    *out = str_make(column->ptr[at], column->len[at]);
    return true;
}

bool rows_header(const weir_rows *rows, uint32_t row, weir_str name, weir_str *out) {
    if (str_starts(name, STR("weir."))) {
        for (uint32_t m = 0; m < rows->meta_count; m++) {
            if (str_eq(rows->meta[m]->name, name)) return meta_text(rows->meta[m], row, out);
        }
    }
    if (rows->header_start == NULL) return false;
    for (uint32_t h = rows->header_start[row + 1]; h > rows->header_start[row]; h--) {
        weir_str n = str_make(rows->header_name_ptr[h - 1], rows->header_name_len[h - 1]);
        if (!str_eq(n, name)) continue;
        if (rows->header_value_ptr[h - 1] == NULL) return false;
        *out = str_make(rows->header_value_ptr[h - 1], rows->header_value_len[h - 1]);
        return true;
    }
    return false;
}

template_eval *template_eval_new(const template_program *program, const template_env *env) {
    template_eval *e = calloc(1, sizeof *e);
    if (e == NULL) return NULL;
    e->program = program;
    e->env = *env;
    e->caches = calloc(program->count + 1, sizeof *e->caches);
    if (e->caches == NULL) {
        free(e);
        return NULL;
    }
    buf_init(&e->scratch, LIMIT_TEMPLATE_BYTES);
    return e;
}

void template_eval_free(template_eval *e) {
    if (e == NULL) return;
    buf_free(&e->scratch);
    free(e->caches);
    free(e);
}

static void append_time(time_cache *cache, weir_str format, int64_t time_us, buf *out) {
    int64_t second = time_us / 1000000 - (time_us % 1000000 < 0);
    if (!cache->valid || cache->second != second) {
        time_t t = (time_t)second;
        struct tm tm;
        char zformat[128];
        cache->valid = false;
        if (format.len >= sizeof zformat || gmtime_r(&t, &tm) == NULL) return;
        memcpy(zformat, format.ptr, format.len);
        zformat[format.len] = '\0';
        /* The template parser allows only a list of known conversions, so the format is safe even
         * though it is no literal. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        cache->len = (uint16_t)strftime(cache->text, sizeof cache->text, zformat, &tm);
#pragma GCC diagnostic pop
        cache->second = second;
        cache->valid = true;
    }
    buf_append(out, cache->text, cache->len);
}

static void append_value(const weir_value *v, buf *out) {
    if (v->type == WEIR_V_STRING || v->type == WEIR_V_BYTES) {
        buf_append_str(out, weir_value_str(v));
        return;
    }
    uint64_t bound = weir_json_bound(v);
    if (!buf_reserve(out, bound)) return;
    out->len += weir_json_write(v, out->data + out->len);
    out->data[out->len] = '\0';
}

static void append_urlencoded(weir_str s, buf *out) {
    static const char hex[] = "0123456789ABCDEF";
    for (uint64_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '-' || c == '_' || c == '.' || c == '~';
        if (plain) {
            buf_append_char(out, (char)c);
        } else {
            buf_append_char(out, '%');
            buf_append_char(out, hex[c >> 4]);
            buf_append_char(out, hex[c & 15]);
        }
    }
}

static void append_uuid(const template_env *env, buf *out) {
    uint64_t hi = env->random(env->opaque), lo = env->random(env->opaque);
    hi = (hi & ~UINT64_C(0xf000)) | UINT64_C(0x4000);       /* version 4 */
    lo = (lo & ~(UINT64_C(3) << 62)) | (UINT64_C(2) << 62); /* RFC 4122 variant */
    buf_printf(out, "%08llx-%04llx-%04llx-%04llx-%012llx", (unsigned long long)(hi >> 32),
               (unsigned long long)(hi >> 16 & 0xffff), (unsigned long long)(hi & 0xffff),
               (unsigned long long)(lo >> 48), (unsigned long long)(lo & UINT64_C(0xffffffffffff)));
}

/* The text of one part before its filters; false if the record has none. */
static bool append_part(template_eval *e, size_t index, const weir_batch *batch, uint32_t row,
                        buf *out) {
    const template_part *part = &e->program->parts[index];
    const weir_rows *rows = batch->rows;
    weir_str text;
    switch (part->kind) {
    case PART_LITERAL:
        buf_append_str(out, part->text);
        return true;
    case PART_KEY:
        if (rows->key_ptr == NULL || rows->key_ptr[row] == NULL) return false;
        buf_append(out, rows->key_ptr[row], rows->key_len[row]);
        return true;
    case PART_VALUE:
        if (rows->value_ptr[row] == NULL) return false;
        buf_append(out, rows->value_ptr[row], rows->value_len[row]);
        return true;
    case PART_FIELD: {
        if (batch->tape == NULL) return false;
        const weir_value *v = path_find(weir_tape_root(batch->tape, row), &part->path);
        if (v == NULL || v->type == WEIR_V_NULL) return false;
        append_value(v, out);
        return true;
    }
    case PART_HEADER:
        if (!rows_header(rows, row, part->text, &text)) return false;
        buf_append_str(out, text);
        return true;
    case PART_SPLIT:
        buf_append_str(out, batch->split);
        return true;
    case PART_POSITION:
        if (!rows_header(rows, row, STR(WEIR_META_POSITION), &text)) return false;
        buf_append_str(out, text);
        return true;
    case PART_TIME:
        if (rows->time_us == NULL || rows->time_us[row] == WEIR_TIME_NONE) return false;
        append_time(&e->caches[index], part->text, rows->time_us[row], out);
        return true;
    case PART_NOW:
        append_time(&e->caches[index], part->text, e->env.wall_us(e->env.opaque), out);
        return true;
    case PART_UUID:
        append_uuid(&e->env, out);
        return true;
    case PART_RANDOM:
        buf_printf(out, "%llu", (unsigned long long)e->env.random(e->env.opaque));
        return true;
    }
    return false;
}

/* The path as it can be written in a template: ".a.b[0]", names that are no words as ["x y"]. */
static void append_path(const template_path *path, buf *out) {
    for (size_t i = 0; i < path->len; i++) {
        const template_step *step = &path->steps[i];
        bool word = step->name.len > 0;
        for (uint64_t c = 0; word && c < step->name.len; c++) {
            char ch = step->name.ptr[c];
            word = (unsigned char)ch > ' ' && strchr(".[]|{}\"'$()", ch) == NULL && ch != 0x7f;
        }
        bool bare = step->name.ptr != NULL && word;
        if (bare || i == 0) buf_append_char(out, '.');
        if (bare) {
            buf_append_str(out, step->name);
        } else if (step->name.ptr == NULL) {
            buf_printf(out, "[%u]", step->index);
        } else {
            buf_printf(out, "[\"%.*s\"]", STR_FMT(step->name)); /* a name holds no quote */
        }
    }
    if (path->len == 0) buf_append_char(out, '.');
}

static weir_status missing(const template_eval *e, const template_part *part, weir_error *err) {
    static const char *const what[] = {"literal",  "key",  "value", "field", "header", "split",
                                       "position", "time", "now",   "uuid",  "random"};
    buf name;
    buf_init(&name, LIMIT_TEMPLATE_BYTES);
    if (part->kind == PART_FIELD || part->kind == PART_HEADER) buf_append_char(&name, ' ');
    if (part->kind == PART_FIELD) append_path(&part->path, &name);
    if (part->kind == PART_HEADER) buf_append_str(&name, part->text);
    error_set(err, WEIR_E_DATA, WEIR_ERR_PER_RECORD, "template \"%.*s\": the record has no %s%.*s",
              STR_FMT(e->program->source), what[part->kind], STR_FMT(buf_str(&name)));
    buf_free(&name);
    error_hint(err, "give it a default: ${...|default:none}");
    return WEIR_E_DATA;
}

weir_status template_eval_row(template_eval *e, const weir_batch *batch, uint32_t row, buf *out,
                              weir_error *err) {
    for (size_t p = 0; p < e->program->count; p++) {
        const template_part *part = &e->program->parts[p];
        if (part->filter_count == 0) {
            if (!append_part(e, p, batch, row, out)) return missing(e, part, err);
            continue;
        }
        buf_reset(&e->scratch);
        bool present = append_part(e, p, batch, row, &e->scratch);
        weir_str text = buf_str(&e->scratch);
        bool encode = false;
        for (size_t f = 0; f < part->filter_count; f++) {
            if (part->filters[f].kind == FILTER_URLENCODE) encode = true;
            if (part->filters[f].kind == FILTER_DEFAULT && (!present || text.len == 0)) {
                text = part->filters[f].argument;
                present = true;
            }
        }
        if (!present) return missing(e, part, err);
        if (encode) {
            append_urlencoded(text, out);
        } else {
            buf_append_str(out, text);
        }
        if (!buf_ok(&e->scratch)) out->failed = true;
    }
    if (!buf_ok(out)) {
        return error_set(err, WEIR_E_DATA, WEIR_ERR_PER_RECORD,
                         "template \"%.*s\": the text is longer than %llu bytes",
                         STR_FMT(e->program->source), (unsigned long long)LIMIT_TEMPLATE_BYTES);
    }
    return WEIR_OK;
}

weir_status template_eval_column(template_eval *e, const weir_batch *batch, arena *memory,
                                 text_column *out,
                                 void (*fail)(void *opaque, uint32_t row, const weir_error *err),
                                 void *opaque, weir_error *err) {
    uint32_t count = batch->rows->count;
    out->constant = e->program->constant;
    uint32_t rows = out->constant ? (count > 0) : count;
    out->ptr = arena_array(memory, rows + 1u, sizeof *out->ptr);
    out->len = arena_array(memory, rows + 1u, sizeof *out->len);
    if (out->ptr == NULL || out->len == NULL) goto no_memory;
    buf text;
    buf_init(&text, LIMIT_TEMPLATE_BYTES);
    uint32_t previous = UINT32_MAX;
    for (uint32_t row = 0; row < rows; row++) {
        buf_reset(&text);
        if (template_eval_row(e, batch, row, &text, err) != WEIR_OK) {
            fail(opaque, row, err);
            continue;
        }
        weir_str s = buf_str(&text);
        if (previous != UINT32_MAX && out->len[previous] == s.len &&
            memcmp(out->ptr[previous], s.ptr, s.len) == 0) {
            out->ptr[row] = out->ptr[previous];
        } else {
            out->ptr[row] = arena_str(memory, s).ptr;
            if (out->ptr[row] == NULL) {
                buf_free(&text);
                goto no_memory;
            }
        }
        out->len[row] = (uint32_t)s.len;
        previous = row;
    }
    buf_free(&text);
    return WEIR_OK;

no_memory:
    return error_set(err, WEIR_E_NOMEM, 0, "out of memory for templates");
}
