#include "runtime/envelope.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/map.h"
#include "base/str.h"
#include "runtime/template_eval.h"
#include "weir/json.h"

/* Nodes of an envelope without headers, and the most that one header takes: an object of
 * name_base64 and value, the value being an object itself. */
#define NODES_FIXED 48u
#define NODES_HEADER 7u

typedef struct nodes {
    weir_tape_builder *tape;
    weir_value *at;
    uint32_t used;
} nodes;

static weir_status envelope_row(weir_tape_builder *tape, const weir_rows *rows, uint32_t row);

const weir_batch *failures_envelope(batch_home *home, const weir_batch *batch) {
    weir_tape_builder *tape = batch_tape_begin(home, batch);
    if (tape == NULL) return NULL;
    for (uint32_t row = 0; row < batch->rows->count; row++) {
        if (envelope_row(tape, batch->rows, row) != WEIR_OK) {
            batch_tape_abandon(tape);
            return NULL;
        }
    }
    return batch_tape_finish(tape);
}

/* ---- nodes ---- */

static void put_str(nodes *n, weir_str s) {
    n->at[n->used++] = (weir_value){
        .type = WEIR_V_STRING, .size = (uint32_t)s.len, .as.ptr = s.ptr != NULL ? s.ptr : ""};
}

static uint32_t open_node(nodes *n, uint8_t type) {
    n->at[n->used] = (weir_value){.type = type};
    return n->used++;
}

static void close_node(nodes *n, uint32_t at, uint32_t size) {
    n->at[at].size = size;
    n->at[at].as.skip = n->used - at;
}

static bool put_base64(nodes *n, weir_str bytes) {
    char *text = batch_tape_facet.alloc(n->tape, 4 * ((bytes.len + 2) / 3) + 1);
    if (text == NULL) return false;
    put_str(n, str_make(text, weir_base64_encode(bytes, text)));
    return true;
}

/* "name": text, or "name_base64": base64 of what is no text. */
static bool put_bytes(nodes *n, const char *name, const char *base64_name, weir_str bytes) {
    bool text = str_is_utf8(bytes);
    put_str(n, str_of(text ? name : base64_name));
    if (!text) return put_base64(n, bytes);
    put_str(n, bytes);
    return true;
}

/* Words of a plugin or a stream, which may be any bytes: what is not UTF-8 becomes U+FFFD, so that
 * the letter stays readable JSON. */
static bool put_words(nodes *n, const char *name, weir_str words) {
    put_str(n, str_of(name));
    if (str_is_utf8(words)) {
        put_str(n, words);
        return true;
    }
    char *text = batch_tape_facet.alloc(n->tape, 3 * words.len + 1);
    if (text == NULL) return false;
    size_t len = 0;
    for (size_t at = 0; at < words.len;) {
        size_t size = str_utf8_next(str_make(words.ptr + at, words.len - at));
        if (size > 0) {
            memcpy(text + len, words.ptr + at, size);
            len += size;
        } else {
            memcpy(text + len, "\xef\xbf\xbd", 3);
            len += 3;
        }
        at += size > 0 ? size : 1;
    }
    put_str(n, str_make(text, len));
    return true;
}

/* ---- what went wrong, and where ---- */

static const struct {
    const char *header, *member;
} error_members[] = {
    {HEADER_NODE, "node"},         {HEADER_CODE, "code"}, {HEADER_TEXT, "error"},
    {HEADER_ATTEMPTS, "attempts"}, {HEADER_TIME, "time"},
};
static const struct {
    const char *header, *member, *base64_member;
} origin_members[] = {{HEADER_STREAM, "stream", "stream_base64"},
                      {HEADER_SPLIT, "split", "split_base64"},
                      {HEADER_POSITION, "position", "position_base64"}};

static bool put_error(nodes *n, const weir_rows *rows, uint32_t row, uint32_t *members) {
    weir_str text;
    for (size_t m = 0; m < sizeof error_members / sizeof error_members[0]; m++) {
        if (!rows_header(rows, row, str_of(error_members[m].header), &text)) continue;
        if (!put_words(n, error_members[m].member, text)) return false;
        /* "attempts" is a number written as text: a decimal node prints it bare. */
        if (strcmp(error_members[m].member, "attempts") == 0) {
            n->at[n->used - 1].logical = WEIR_L_DECIMAL;
        }
        (*members)++;
    }
    return true;
}

static bool put_origin(nodes *n, const weir_rows *rows, uint32_t row) {
    weir_str text;
    put_str(n, str_of("origin"));
    uint32_t origin = open_node(n, WEIR_V_OBJECT), members = 0;
    for (size_t m = 0; m < sizeof origin_members / sizeof origin_members[0]; m++) {
        if (!rows_header(rows, row, str_of(origin_members[m].header), &text)) continue;
        if (!put_words(n, origin_members[m].member, text)) return false;
        members++;
        if (str_is_utf8(text)) continue;
        put_str(n, str_of(origin_members[m].base64_member));
        if (!put_base64(n, text)) return false;
        members++;
    }
    close_node(n, origin, members);
    return true;
}

/* ---- headers ---- */

/* A record's own headers, and which of them have the name of an earlier one. */
typedef struct header_list {
    const weir_rows *rows;
    uint32_t first, end;
    uint32_t *next; /* [end - first]: the next of the same name; 0 = none */
    bool *later;    /* [end - first]: not the first of its name */
} header_list;

static weir_str header_name(const header_list *l, uint32_t h) {
    return str_make(l->rows->header_name_ptr[h], l->rows->header_name_len[h]);
}

/* Those of the failure stand last and begin with HEADER_NODE. */
static uint32_t own_end(const weir_rows *rows, uint32_t row) {
    for (uint32_t h = rows->header_start[row + 1]; h > rows->header_start[row]; h--) {
        weir_str name = str_make(rows->header_name_ptr[h - 1], rows->header_name_len[h - 1]);
        if (str_eq_z(name, HEADER_NODE)) return h - 1;
    }
    return rows->header_start[row + 1];
}

static bool list_init(header_list *l, const weir_rows *rows, uint32_t row) {
    *l = (header_list){.rows = rows, .first = rows->header_start[row], .end = own_end(rows, row)};
    uint32_t count = l->end - l->first;
    if (count == 0) return true;
    l->next = calloc(count, sizeof *l->next);
    l->later = calloc(count, sizeof *l->later);
    map *last = map_new(); /* of each name: where its last header so far keeps its `next` */
    bool ok = l->next != NULL && l->later != NULL && last != NULL;
    for (uint32_t h = l->first; ok && h < l->end; h++) {
        uint32_t *link = map_get(last, header_name(l, h));
        if (link != NULL) {
            *link = h;
            l->later[h - l->first] = true;
        }
        ok = map_put(last, header_name(l, h), &l->next[h - l->first]);
    }
    map_free(last);
    return ok;
}

static void list_free(header_list *l) {
    free(l->next);
    free(l->later);
}

static bool put_header_value(nodes *n, const header_list *l, uint32_t h) {
    weir_str value = str_make(l->rows->header_value_ptr[h], l->rows->header_value_len[h]);
    if (value.ptr == NULL) {
        (void)open_node(n, WEIR_V_NULL);
        return true;
    }
    if (str_is_utf8(value)) {
        put_str(n, value);
        return true;
    }
    uint32_t object = open_node(n, WEIR_V_OBJECT);
    put_str(n, str_of("base64"));
    if (!put_base64(n, value)) return false;
    close_node(n, object, 1);
    return true;
}

/* "headers": those whose name is text, each name once. Counts the others. */
static bool put_named_headers(nodes *n, const header_list *l, uint32_t *unnamed) {
    put_str(n, str_of("headers"));
    uint32_t object = open_node(n, WEIR_V_OBJECT), members = 0;
    for (uint32_t h = l->first; h < l->end; h++) {
        if (!str_is_utf8(header_name(l, h))) {
            (*unnamed)++;
            continue;
        }
        WEIR_ASSERT(l->later != NULL && l->next != NULL); /* one entry a header */
        if (l->later[h - l->first]) continue;
        put_str(n, header_name(l, h));
        members++;
        if (l->next[h - l->first] == 0) {
            if (!put_header_value(n, l, h)) return false;
            continue;
        }
        uint32_t array = open_node(n, WEIR_V_ARRAY), elements = 0;
        for (uint32_t k = h;; k = l->next[k - l->first]) {
            if (!put_header_value(n, l, k)) return false;
            elements++;
            if (l->next[k - l->first] == 0) break;
        }
        close_node(n, array, elements);
    }
    close_node(n, object, members);
    return true;
}

static bool put_unnamed_headers(nodes *n, const header_list *l, uint32_t count) {
    put_str(n, str_of("headers_base64"));
    uint32_t array = open_node(n, WEIR_V_ARRAY);
    for (uint32_t h = l->first; h < l->end; h++) {
        if (str_is_utf8(header_name(l, h))) continue;
        uint32_t object = open_node(n, WEIR_V_OBJECT);
        put_str(n, str_of("name_base64"));
        if (!put_base64(n, header_name(l, h))) return false;
        put_str(n, str_of("value"));
        if (!put_header_value(n, l, h)) return false;
        close_node(n, object, 2);
    }
    close_node(n, array, count);
    return true;
}

static bool put_headers(nodes *n, const weir_rows *rows, uint32_t row, uint32_t *members) {
    header_list l;
    uint32_t unnamed = 0;
    bool ok = list_init(&l, rows, row) && put_named_headers(n, &l, &unnamed);
    *members += 1;
    if (ok && unnamed > 0) {
        ok = put_unnamed_headers(n, &l, unnamed);
        *members += 1;
    }
    list_free(&l);
    return ok;
}

/* ---- the whole ---- */

static bool put_all(nodes *n, const weir_rows *rows, uint32_t row) {
    uint32_t root = open_node(n, WEIR_V_OBJECT), members = 0;
    if (!put_error(n, rows, row, &members) || !put_origin(n, rows, row)) return false;
    members++;
    if (rows->key_ptr != NULL && rows->key_ptr[row] != NULL) {
        weir_str key = str_make(rows->key_ptr[row], rows->key_len[row]);
        if (!put_bytes(n, "key", "key_base64", key)) return false;
        members++;
    }
    if (!put_headers(n, rows, row, &members)) return false;
    if (rows->value_ptr[row] != NULL) {
        weir_str value = str_make(rows->value_ptr[row], rows->value_len[row]);
        if (!put_bytes(n, "value", "value_base64", value)) return false;
        members++;
    }
    close_node(n, root, members);
    return true;
}

static weir_status envelope_row(weir_tape_builder *tape, const weir_rows *rows, uint32_t row) {
    uint32_t headers = rows->header_start[row + 1] - rows->header_start[row];
    weir_tape_room room = {.struct_size = sizeof room};
    weir_status status =
        batch_tape_facet.reserve(tape, NODES_FIXED + NODES_HEADER * headers, &room);
    if (status != WEIR_OK) return status;
    nodes n = {tape, room.nodes, 0};
    if (!put_all(&n, rows, row)) return WEIR_E_NOMEM;
    return batch_tape_facet.row(tape, n.used, row);
}
