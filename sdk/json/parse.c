/* The parser's public face: variants, the copy of odd texts, faults, duplicate names. */
#include <stdlib.h>

#include "json_private.h"

/* Sorting room for the names of one object; what weir_json_parser.scratch points to. */
typedef struct name_room {
    uint32_t capacity;
    uint32_t index[];
} name_room;

/* Up to this many members are compared pair by pair. */
#define PAIRWISE_MAX 12u

static weir_status parse_copy(json_run *run, weir_str text, json_parse_fn parse);
static void fill_fault(weir_json_parser *p, const uint8_t *begin, const uint8_t *end,
                       const uint8_t *at, const char *text);

weir_status weir_json_parse(weir_json_parser *p, weir_str text) {
#if JSON_HAVE_AVX2
    if (JSON_LIKELY(json_cpu_avx2())) return json_parse_with(p, text, json_parse_avx2);
#endif
    return json_parse_with(p, text, json_parse_swar);
}

weir_status json_parse_with(weir_json_parser *p, weir_str text, json_parse_fn parse) {
    p->used = 0;
    if (text.len > INT32_MAX) return WEIR_E_TOO_LARGE;
    if (p->depth_max == 0) p->depth_max = WEIR_JSON_DEPTH_DEFAULT;
    if (p->depth_max > WEIR_JSON_DEPTH_MAX) p->depth_max = WEIR_JSON_DEPTH_MAX;

    const uint8_t *begin = (const uint8_t *)(text.len ? text.ptr : "");
    const uint8_t *end = begin + text.len;
    json_run run = {.p = p, .begin = begin};
    /* Trailing white space is cut off to see the last byte that means something. */
    while (end > begin && (end[-1] == ' ' || (end[-1] >= '\t' && end[-1] <= '\r' &&
                                              end[-1] != '\v' && end[-1] != '\f')))
        end--;
    run.end = end;
    if (end == begin) {
        fill_fault(p, begin, end, end, "expected a value, found the end of the text");
        return WEIR_E_DATA;
    }
    weir_status status =
        end[-1] == '}' || end[-1] == ']'
            ? parse(&run)
            : parse_copy(&run, (weir_str){text.ptr, (uint64_t)(end - begin)}, parse);
    if (JSON_UNLIKELY(status == WEIR_E_DATA)) {
        p->used = 0;
        fill_fault(p, begin, end, run.fault_at, run.fault_text);
    }
    return status;
}

void weir_json_parser_free(weir_json_parser *p) {
    free(p->scratch);
    p->scratch = NULL;
}

/* Growing at least doubles, so that the moves cost a constant for each node. */
weir_status json_grow(weir_json_parser *p, uint32_t used) {
    if (!p->grow || used == UINT32_MAX) return WEIR_E_NOMEM;
    uint32_t want = used < 16 ? 32 : used > UINT32_MAX / 2 ? UINT32_MAX : used * 2;
    uint32_t got = 0;
    weir_value *nodes = p->grow(p->opaque, used, want, &got);
    if (!nodes || got <= used) return WEIR_E_NOMEM;
    p->nodes = nodes;
    p->capacity = got;
    return WEIR_OK;
}

/* Order of names for the search of equals: any total order will do, the cheapest looks at the
 * length first. */
static int compare_names(const weir_value *a, const weir_value *b) {
    if (a->size != b->size) return a->size < b->size ? -1 : 1;
    return a->size ? memcmp(a->as.ptr, b->as.ptr, a->size) : 0;
}

static void sift_down(const weir_value *base, uint32_t *heap, uint32_t root, uint32_t count) {
    for (;;) {
        uint32_t child = 2 * root + 1;
        if (child >= count) return;
        if (child + 1 < count && compare_names(base + heap[child], base + heap[child + 1]) < 0)
            child++;
        if (compare_names(base + heap[root], base + heap[child]) >= 0) return;
        uint32_t swap = heap[root];
        heap[root] = heap[child];
        heap[child] = swap;
        root = child;
    }
}

/* The name of the repeated member is shown where it stands in the text; a name with escapes lives
 * elsewhere, then the object's end is shown. */
static weir_status duplicate(json_run *run, const weir_value *name, const uint8_t *at) {
    const uint8_t *where = (const uint8_t *)name->as.ptr;
    run->fault_at = where > run->begin && where < run->end ? where - 1 : at;
    run->fault_text = "duplicate member name";
    return WEIR_E_DATA;
}

/* A heap sort: no member names make it slower than n log n, as a hash table's collisions would. */
weir_status json_check_unique(json_run *run, const weir_value *object, const uint8_t *at) {
    uint32_t count = object->size;
    if (count < 2) return WEIR_OK;
    if (count <= PAIRWISE_MAX) {
        const weir_value *names[PAIRWISE_MAX];
        const weir_value *name = object + 1;
        for (uint32_t i = 0; i < count; i++) {
            for (uint32_t j = 0; j < i; j++)
                if (compare_names(names[j], name) == 0) return duplicate(run, name, at);
            names[i] = name;
            name = weir_value_next(name + 1);
        }
        return WEIR_OK;
    }
    name_room *room = run->p->scratch;
    if (!room || room->capacity < count) {
        uint32_t capacity = count > UINT32_MAX / 2 ? count : count * 2;
        free(room);
        room = malloc(sizeof *room + (size_t)capacity * sizeof room->index[0]);
        run->p->scratch = room;
        if (!room) return WEIR_E_NOMEM;
        room->capacity = capacity;
    }
    uint32_t *heap = room->index;
    const weir_value *name = object + 1;
    for (uint32_t i = 0; i < count; i++) {
        heap[i] = (uint32_t)(name - object);
        name = weir_value_next(name + 1);
    }
    for (uint32_t i = count / 2; i-- > 0;) sift_down(object, heap, i, count);
    for (uint32_t left = count; left > 1;) {
        uint32_t top = heap[0];
        heap[0] = heap[--left];
        sift_down(object, heap, 0, left);
        if (compare_names(object + top, object + heap[0]) == 0)
            return duplicate(run, object + (top > heap[0] ? top : heap[0]), at);
    }
    return WEIR_OK;
}

/*
 * Texts that do not end with a bracket: a lone string, number or literal, or something broken. They
 * are parsed in a copy with a NUL behind it, so that the loop needs no bounds for the sake of them.
 */
static weir_status parse_copy(json_run *run, weir_str text, json_parse_fn parse) {
    uint8_t small[256];
    uint8_t *copy = text.len < sizeof small ? small : malloc((size_t)text.len + 1);
    if (!copy) return WEIR_E_NOMEM;
    memcpy(copy, text.ptr, (size_t)text.len);
    copy[text.len] = 0;
    const uint8_t *begin = run->begin;
    run->begin = copy;
    run->end = copy + text.len;
    weir_status status = parse(run);
    if (status == WEIR_OK) {
        /* A single node; what it points to is either in the copy or from p->alloc. */
        weir_value *root = run->p->nodes;
        uintptr_t ptr = root->type == WEIR_V_STRING ? (uintptr_t)root->as.ptr : 0;
        if (ptr >= (uintptr_t)copy && ptr <= (uintptr_t)copy + text.len)
            root->as.ptr = (const char *)begin + (ptr - (uintptr_t)copy);
    } else if (status == WEIR_E_DATA) {
        run->fault_at = begin + (run->fault_at - copy);
    }
    if (copy != small) free(copy);
    return status;
}

static void fill_fault(weir_json_parser *p, const uint8_t *begin, const uint8_t *end,
                       const uint8_t *at, const char *text) {
    static const uint8_t mark[3] = {0xef, 0xbb, 0xbf};
    if (at == begin && end - begin >= 3 && memcmp(begin, mark, 3) == 0)
        text = "expected a value, found a byte order mark";
    uint32_t line = 1;
    const uint8_t *line_begin = begin;
    for (const uint8_t *c = begin; c < at; c++) {
        if (*c == '\n') {
            line++;
            line_begin = c + 1;
        }
    }
    p->fault.offset = (uint64_t)(at - begin);
    p->fault.line = line;
    p->fault.column = (uint32_t)(at - line_begin) + 1;
    p->fault.text = text;
}
