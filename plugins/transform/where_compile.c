#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "weir/json.h"
#include "where_lex.h"
#include "where_program.h"

typedef struct compiler {
    weir_str source;
    where_word word; /* the one that is looked at */
    where_program *program;
    where_fault *fault;
    uint32_t depth;
    bool failed;
} compiler;

static const char name_hint[] =
    "a name with other characters than letters, digits and _ stands in quotes: .\"my field\"";

static void parse_condition(compiler *c);
static void parse_all(compiler *c);
static void parse_unary(compiler *c);
static void parse_primary(compiler *c);
static uint32_t parse_operand(compiler *c);
static uint32_t parse_path(compiler *c);
static uint32_t parse_literal(compiler *c);

where_program *where_compile(weir_str text, where_fault *fault) {
    compiler c = {.source = text, .fault = fault};
    memset(fault, 0, sizeof *fault);
    if (text.len > WHERE_TEXT_MAX) {
        snprintf(fault->text, sizeof fault->text, "the condition has %llu bytes, at most %u fit",
                 (unsigned long long)text.len, WHERE_TEXT_MAX);
        return NULL;
    }
    c.program = calloc(1, sizeof *c.program);
    if (c.program != NULL) c.program->text = malloc((size_t)text.len + 1);
    if (c.program == NULL || c.program->text == NULL) {
        snprintf(fault->text, sizeof fault->text, "no memory for the condition");
        where_free(c.program);
        return NULL;
    }
    c.word = where_lex(text, 0);
    parse_condition(&c);
    if (c.failed) {
        where_free(c.program);
        return NULL;
    }
    return c.program;
}

void where_free(where_program *program) {
    if (program == NULL) return;
    free(program->code);
    free(program->steps);
    free(program->paths);
    free(program->literals);
    free(program->text);
    free(program);
}

/* ---- errors ---- */

/* Column in characters: bytes that continue a UTF-8 character do not count. */
static uint32_t column_of(weir_str source, uint32_t at) {
    uint32_t column = 1;
    for (uint32_t i = 0; i < at && i < source.len; i++) {
        if (((unsigned char)source.ptr[i] & 0xc0) != 0x80) column++;
    }
    return column;
}

__attribute__((format(printf, 4, 5))) static void
fail_at(compiler *c, uint32_t at, const char *hint, const char *format, ...) {
    va_list args;
    if (c->failed) return; /* the first one is the cause */
    c->failed = true;
    c->fault->column = column_of(c->source, at);
    c->fault->hint = hint;
    va_start(args, format);
    vsnprintf(c->fault->text, sizeof c->fault->text, format, args);
    va_end(args);
}

static void fail_expected(compiler *c, const char *expected, const char *hint) {
    const where_word *w = &c->word;
    int len = w->text.len < 40 ? (int)w->text.len : 40;
    if (w->kind == WORD_BAD && w->bad != NULL) {
        fail_at(c, w->at, w->hint, "%s", w->bad);
    } else if (w->kind == WORD_END) {
        fail_at(c, w->at, hint, "expected %s, found the end", expected);
    } else {
        fail_at(c, w->at, w->hint != NULL ? w->hint : hint, "expected %s, found '%.*s'", expected,
                len, w->text.ptr);
    }
}

/* ---- the program under construction ---- */

/* Room for one more entry of an array; sizes are bounded by the condition's. */
static bool room(compiler *c, void **array, uint32_t count, uint32_t *capacity, size_t entry) {
    void *grown;
    uint32_t larger = *capacity > 0 ? *capacity * 2 : 8;
    if (c->failed) return false;
    if (count < *capacity) return true;
    grown = realloc(*array, entry * larger);
    if (grown == NULL) {
        fail_at(c, 0, NULL, "no memory for the condition");
        c->fault->column = 0;
        return false;
    }
    *array = grown;
    *capacity = larger;
    return true;
}

/* Index of a new instruction. */
static uint32_t emit(compiler *c, uint8_t op, uint8_t compare, uint32_t a, uint32_t b) {
    where_program *p = c->program;
    void *code = p->code;
    bool fits = room(c, &code, p->code_count, &p->code_capacity, sizeof *p->code);
    p->code = code;
    if (!fits) return 0;
    p->code[p->code_count] = (where_code){.op = op, .compare = compare, .a = a, .b = b};
    return p->code_count++;
}

static uint32_t add_literal(compiler *c, weir_value v) {
    where_program *p = c->program;
    void *literals = p->literals;
    bool fits = room(c, &literals, p->literal_count, &p->literal_capacity, sizeof *p->literals);
    p->literals = literals;
    if (!fits) return 0;
    p->literals[p->literal_count] = v;
    return p->literal_count++;
}

static void add_step(compiler *c, where_step step) {
    where_program *p = c->program;
    void *steps = p->steps;
    bool fits = room(c, &steps, p->step_count, &p->step_capacity, sizeof *p->steps);
    p->steps = steps;
    if (fits) p->steps[p->step_count++] = step;
}

static weir_str keep(compiler *c, weir_str text) {
    where_program *p = c->program;
    char *to = p->text + p->text_used;
    memcpy(to, text.ptr, (size_t)text.len);
    p->text_used += (uint32_t)text.len;
    return (weir_str){to, text.len};
}

static weir_str keep_unescaped(compiler *c, const where_word *w) {
    where_program *p = c->program;
    char *to = p->text + p->text_used;
    uint32_t wrong = 0;
    uint32_t len = where_unescape(w->text, to, &wrong);
    if (len == UINT32_MAX) {
        fail_at(c, w->at + 1 + wrong, NULL, "expected an escape as in JSON, found '%.*s'",
                (int)(w->text.len - wrong < 6 ? w->text.len - wrong : 6), w->text.ptr + wrong);
        return (weir_str){"", 0};
    }
    p->text_used += len;
    return (weir_str){to, len};
}

static void advance(compiler *c) {
    c->word = where_lex(c->source, c->word.at + c->word.len);
}

static bool at_name(const compiler *c, const char *name) {
    return c->word.kind == WORD_NAME && c->word.text.len == strlen(name) &&
           memcmp(c->word.text.ptr, name, (size_t)c->word.text.len) == 0;
}

/* ---- the grammar ---- */

/* `first { word next }`: every jump goes behind the whole; until then they are chained by `a`. */
static void parse_chain(compiler *c, const char *word, uint8_t jump, void (*next)(compiler *)) {
    uint32_t chain = UINT32_MAX;
    next(c);
    while (!c->failed && at_name(c, word)) {
        advance(c);
        chain = emit(c, jump, 0, chain, 0);
        next(c);
    }
    while (!c->failed && chain != UINT32_MAX) {
        uint32_t before = c->program->code[chain].a;
        c->program->code[chain].a = c->program->code_count;
        chain = before;
    }
}

static void parse_condition(compiler *c) {
    parse_chain(c, "or", WHERE_JUMP_TRUE, parse_all);
    if (c->failed || c->word.kind == WORD_END || c->word.kind == WORD_CLOSE) {
        if (c->depth == 0 && c->word.kind == WORD_CLOSE) {
            fail_at(c, c->word.at, NULL, "this ')' closes nothing");
        }
        return;
    }
    if (c->word.kind == WORD_COMPARE) {
        fail_expected(c, "and, or, or the end",
                      "one comparison has two sides: join several by and");
        return;
    }
    fail_expected(c, c->depth > 0 ? "and, or, or ')'" : "and, or, or the end", NULL);
}

static void parse_all(compiler *c) {
    parse_chain(c, "and", WHERE_JUMP_FALSE, parse_unary);
}

static bool deeper(compiler *c) {
    if (++c->depth <= WHERE_DEPTH_MAX) return true;
    fail_at(c, c->word.at, NULL, "more than %u parentheses and nots inside each other",
            WHERE_DEPTH_MAX);
    return false;
}

static void parse_unary(compiler *c) {
    if (c->failed) return;
    if (!at_name(c, "not")) {
        parse_primary(c);
        return;
    }
    if (!deeper(c)) return;
    advance(c);
    parse_unary(c);
    emit(c, WHERE_NOT, 0, 0, 0);
    c->depth--;
}

static void parse_primary(compiler *c) {
    uint32_t a;
    uint32_t at = c->word.at;
    if (c->word.kind == WORD_OPEN) {
        if (!deeper(c)) return;
        advance(c);
        parse_condition(c);
        if (!c->failed && c->word.kind != WORD_CLOSE) {
            fail_at(c, at, NULL, "this '(' is not closed");
        }
        c->depth--;
        advance(c);
        return;
    }
    a = parse_operand(c);
    if (c->failed) return;
    if (c->word.kind == WORD_COMPARE) {
        uint8_t compare = (uint8_t)c->word.compare;
        uint32_t b;
        advance(c);
        b = parse_operand(c);
        emit(c, WHERE_CMP, compare, a, b);
        return;
    }
    if (!(a & WHERE_PATH) && c->program->literals[a].type != WEIR_V_BOOL) {
        fail_expected(c, "a comparison such as ==", NULL);
        return;
    }
    emit(c, WHERE_TRUE, 0, a, 0);
}

static uint32_t parse_operand(compiler *c) {
    if (c->failed) return 0;
    if (c->word.kind == WORD_DOT) return parse_path(c);
    return parse_literal(c);
}

/* An index in brackets: digits that fit 32 bits. */
static void parse_index(compiler *c) {
    uint64_t index = 0;
    bool good = c->word.kind == WORD_NUMBER;
    for (uint64_t i = 0; good && i < c->word.text.len; i++) {
        char d = c->word.text.ptr[i];
        good = d >= '0' && d <= '9';
        index = index * 10 + (uint64_t)(d - '0');
        if (index >= UINT32_MAX) good = false;
    }
    if (!good) {
        fail_expected(c, "an index from 0 or a name in quotes", NULL);
        return;
    }
    add_step(c, (where_step){.index = (uint32_t)index});
}

/* A name behind the dot at `dot_end`; false if there is none. */
static bool parse_name(compiler *c, uint32_t dot_end) {
    weir_str name;
    if (c->word.at != dot_end) return false;
    if (c->word.kind == WORD_NAME) {
        name = keep(c, c->word.text);
    } else if (c->word.kind == WORD_STRING) {
        name = keep_unescaped(c, &c->word);
    } else {
        return false;
    }
    add_step(c, (where_step){.name = name.ptr, .len = (uint32_t)name.len});
    return true;
}

static void parse_bracket(compiler *c) {
    advance(c);
    if (c->word.kind == WORD_STRING) {
        weir_str name = keep_unescaped(c, &c->word);
        add_step(c, (where_step){.name = name.ptr, .len = (uint32_t)name.len});
    } else {
        parse_index(c);
    }
    if (c->failed) return;
    advance(c);
    if (c->word.kind != WORD_BRACKET_END) fail_expected(c, "']'", NULL);
}

/* A path has no spaces in it, so that `.a .b` is the mistake that it looks like. */
static uint32_t parse_path(compiler *c) {
    where_program *p = c->program;
    where_path path = {.first = p->step_count};
    void *paths;
    bool fits;
    uint32_t end = c->word.at + c->word.len;
    bool root = true; /* a single dot is the whole record */
    advance(c);
    while (!c->failed) {
        if (root && !parse_name(c, end)) {
            if (c->word.at != end || c->word.kind == WORD_END || c->word.kind == WORD_CLOSE ||
                c->word.kind == WORD_COMPARE) {
                break;
            }
            if (c->word.kind != WORD_BRACKET) {
                fail_expected(c, "a field name behind the dot", name_hint);
                break;
            }
            parse_bracket(c);
        } else if (!root && c->word.kind == WORD_BRACKET && c->word.at == end) {
            parse_bracket(c);
        } else if (!root && c->word.kind == WORD_DOT && c->word.at == end) {
            end = c->word.at + c->word.len;
            advance(c);
            if (!parse_name(c, end)) {
                fail_expected(c, "a field name behind the dot", name_hint);
                break;
            }
        } else if (!root) {
            break;
        }
        root = false;
        end = c->word.at + c->word.len;
        if (!c->failed) advance(c);
    }
    path.count = p->step_count - path.first;
    paths = p->paths;
    fits = room(c, &paths, p->path_count, &p->path_capacity, sizeof *p->paths);
    p->paths = paths;
    if (!fits) return 0;
    p->paths[p->path_count] = path;
    return p->path_count++ | WHERE_PATH;
}

/* The number as the JSON parser reads it, so that it equals the same text in a record. */
static uint32_t number_literal(compiler *c) {
    weir_json_fault fault;
    weir_json_doc *doc = weir_json_read(c->word.text, 0, &fault);
    weir_value v;
    if (doc == NULL) {
        fail_expected(c, "a number", NULL);
        return 0;
    }
    v = *weir_json_root(doc);
    if (v.type == WEIR_V_STRING) v.as.ptr = keep(c, weir_value_str(&v)).ptr;
    weir_json_free(doc);
    return add_literal(c, v);
}

static uint32_t parse_literal(compiler *c) {
    weir_value v = {0};
    uint32_t index = 0;
    if (c->word.kind == WORD_NUMBER) {
        index = number_literal(c);
    } else if (c->word.kind == WORD_STRING) {
        weir_str text = keep_unescaped(c, &c->word);
        v.type = WEIR_V_STRING;
        v.size = (uint32_t)text.len;
        v.as.ptr = text.ptr;
        index = add_literal(c, v);
    } else if (at_name(c, "true") || at_name(c, "false")) {
        v.type = WEIR_V_BOOL;
        v.as.u64 = c->word.text.len == 4;
        index = add_literal(c, v);
    } else if (at_name(c, "null")) {
        index = add_literal(c, v);
    } else {
        fail_expected(c, "a field or a value",
                      c->word.kind == WORD_NAME
                          ? "a field begins with a dot, a text stands in quotes"
                          : NULL);
        return 0;
    }
    if (!c->failed) advance(c);
    return index;
}
