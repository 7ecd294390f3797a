#include "manifest/tree.h"

#include <yaml.h>

#include "base/check.h"
#include "base/limits.h"
#include "base/map.h"
#include "base/str.h"

/* Maps of up to this many keys are searched for duplicates one by one. */
#define FEW_KEYS 16u

typedef struct link link_t;
struct link {
    link_t *next;
    tree_pair pair; /* key and at only in mappings */
};

/* A container that is not complete yet. */
typedef struct frame {
    tree_node *node;
    weir_str anchor;
    link_t *first, *last;
    const tree_node *key; /* TREE_MAP: read, and its value is next */
    map *seen;            /* keys -> link, from FEW_KEYS on */
} frame;

typedef struct builder {
    const char *file;
    arena *memory;
    diags *out;
    map *anchors; /* name -> complete node */
    const tree_node *root;
    frame stack[LIMIT_TREE_DEPTH];
    size_t depth;
    uint32_t nodes;
    unsigned documents;
    bool stop; /* an error after which nothing more can be said */
} builder;

static void build_event(builder *b, const yaml_event_t *e);
static void report_syntax(builder *b, const yaml_parser_t *parser, weir_str text);

const tree_node *tree_parse(const char *file, weir_str text, arena *memory, diags *out) {
    builder b = {.file = file, .memory = memory, .out = out, .anchors = map_new()};
    place whole = {file, 0, 0};
    yaml_parser_t parser;
    if (text.len > LIMIT_MANIFEST_BYTES) {
        diags_add(out, false, "too-large", whole, NULL,
                  "the file has %llu bytes, at most %llu are read", (unsigned long long)text.len,
                  (unsigned long long)LIMIT_MANIFEST_BYTES);
        map_free(b.anchors);
        return NULL;
    }
    if (b.anchors == NULL || !yaml_parser_initialize(&parser)) {
        diags_add(out, false, "out-of-memory", whole, NULL, "no memory to parse the file");
        map_free(b.anchors);
        return NULL;
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)text.ptr, text.len);
    bool ended = false;
    while (!b.stop && !ended) {
        yaml_event_t e;
        if (!yaml_parser_parse(&parser, &e)) {
            report_syntax(&b, &parser, text);
            b.stop = true;
            break;
        }
        ended = e.type == YAML_STREAM_END_EVENT;
        build_event(&b, &e);
        yaml_event_delete(&e);
    }
    yaml_parser_delete(&parser);
    for (size_t i = 0; i < b.depth; i++) map_free(b.stack[i].seen);
    map_free(b.anchors);
    if (b.stop) return NULL;
    if (b.root == NULL) {
        diags_add(out, false, "empty-file", whole, NULL, "the file holds no YAML document");
    }
    return b.root;
}

const tree_pair *tree_get(const tree_node *n, const char *key) {
    if (n == NULL || n->kind != TREE_MAP) return NULL;
    for (size_t i = 0; i < n->count; i++) {
        if (str_eq_z(n->pairs[i].key, key)) return &n->pairs[i];
    }
    return NULL;
}

bool tree_is_nothing(const tree_node *n) {
    return n->kind == TREE_SCALAR && n->plain &&
           (n->text.len == 0 || str_eq_z(n->text, "~") || str_eq_z(n->text, "null"));
}

place tree_place(const tree_node *scalar, size_t offset) {
    place at = scalar->at;
    if (!scalar->literal) return at;
    at.column = scalar->text_column;
    for (size_t i = 0; i < offset && i < scalar->text.len; i++) {
        if (((unsigned char)scalar->text.ptr[i] & 0xC0u) != 0x80u) at.column++;
    }
    return at;
}

/* ---- errors ---- */

static place place_of(const builder *b, yaml_mark_t mark) {
    return (place){b->file, (unsigned)mark.line + 1, (unsigned)mark.column + 1};
}

static void out_of_memory(builder *b) {
    diags_add(b->out, false, "out-of-memory", (place){b->file, 0, 0}, NULL,
              "no memory for the parsed file, or more than %llu MiB of it",
              (unsigned long long)(LIMIT_TREE_BYTES / MIB));
    b->stop = true;
}

/* libyaml knows the byte of a bad character but not its line. */
static place place_of_offset(const builder *b, weir_str text, size_t offset) {
    place at = {b->file, 1, 1};
    for (size_t i = 0; i < offset && i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c == '\n') {
            at.line++;
            at.column = 1;
        } else if ((c & 0xC0u) != 0x80u) {
            at.column++;
        }
    }
    return at;
}

static void report_syntax(builder *b, const yaml_parser_t *parser, weir_str text) {
    const char *problem = parser->problem != NULL ? parser->problem : "cannot be read";
    if (parser->error == YAML_MEMORY_ERROR) {
        out_of_memory(b);
    } else if (parser->error == YAML_READER_ERROR) {
        diags_add(b->out, false, "yaml-encoding", place_of_offset(b, text, parser->problem_offset),
                  "a manifest is UTF-8 text without control characters", "not readable as text: %s",
                  problem);
    } else {
        place at = place_of(b, parser->problem_mark);
        size_t offset = parser->problem_mark.index;
        bool tab = offset < text.len && text.ptr[offset] == '\t';
        char context[200];
        const char *hint = tab ? "indent with spaces, not with tabs" : NULL;
        if (!tab && parser->context != NULL) {
            snprintf(context, sizeof context, "%s that begins in line %zu", parser->context,
                     parser->context_mark.line + 1);
            hint = context;
        }
        diags_add(b->out, false, "yaml-syntax", at, hint, "not YAML: %s", problem);
    }
}

/* ---- building ---- */

static tree_node *node_new(builder *b, tree_kind kind, const yaml_event_t *e) {
    tree_node *n = arena_zalloc(b->memory, sizeof *n);
    if (n == NULL) {
        out_of_memory(b);
        return NULL;
    }
    n->kind = kind;
    n->at = place_of(b, e->start_mark);
    n->nodes = n->height = 1;
    return n;
}

static bool key_seen(builder *b, frame *f, const tree_node *key) {
    const link_t *first = NULL;
    if (f->seen != NULL) {
        first = map_get(f->seen, key->text);
    } else {
        for (const link_t *l = f->first; l != NULL; l = l->next) {
            if (str_eq(l->pair.key, key->text)) first = l;
        }
    }
    if (first == NULL) return false;
    int shown = key->text.len > 60 ? 60 : (int)key->text.len;
    diags_add(b->out, false, "duplicate-key", key->at, NULL,
              "key '%.*s' stands twice in one mapping, first in line %u", shown, key->text.ptr,
              first->pair.at.line);
    return true;
}

/* Whether a key may enter the mapping; if not, why is reported. */
static bool key_ok(builder *b, frame *f, const tree_node *key) {
    if (key->kind != TREE_SCALAR) {
        diags_add(b->out, false, "key-not-text", key->at, NULL, "a key must be text, found a %s",
                  key->kind == TREE_MAP ? "mapping" : "list");
        return false;
    }
    if (key->plain && str_eq_z(key->text, "<<")) {
        diags_add(b->out, false, "merge-key", key->at,
                  "write the keys out, or give the whole mapping an anchor and use its alias",
                  "merge keys ('<<') are not supported");
        return false;
    }
    return !key_seen(b, f, key);
}

static bool key_remember(frame *f, link_t *l) {
    if (f->seen == NULL) {
        if (f->node->count < FEW_KEYS) return true;
        if ((f->seen = map_new()) == NULL) return false;
        for (link_t *k = f->first; k != NULL; k = k->next) {
            if (!map_put(f->seen, k->pair.key, k)) return false;
        }
    }
    return map_put(f->seen, l->pair.key, l);
}

/* A node is complete: it becomes the root, an item, a key, or the value of the key before it. */
static void attach(builder *b, const tree_node *n) {
    if (b->depth == 0) {
        if (b->root == NULL) b->root = n;
        return;
    }
    frame *f = &b->stack[b->depth - 1];
    f->node->nodes += n->nodes; /* cannot overflow: the total is limited */
    if (f->node->height <= n->height) f->node->height = n->height + 1;
    if (f->node->kind == TREE_MAP && f->key == NULL) {
        f->key = n;
        return;
    }
    const tree_node *key = f->key;
    f->key = NULL;
    if (f->node->kind == TREE_MAP && !key_ok(b, f, key)) return;
    link_t *l = arena_zalloc(b->memory, sizeof *l);
    if (l == NULL) {
        out_of_memory(b);
        return;
    }
    l->pair.value = n;
    if (key != NULL) {
        l->pair.key = key->text;
        l->pair.at = key->at;
    }
    if (f->last != NULL)
        f->last->next = l;
    else
        f->first = l;
    f->last = l;
    f->node->count++;
    if (key != NULL && !key_remember(f, l)) out_of_memory(b);
}

static bool count_nodes(builder *b, uint32_t more, place at) {
    if (more <= LIMIT_TREE_NODES - b->nodes) {
        b->nodes += more;
        return true;
    }
    diags_add(b->out, false, "too-many-values", at, NULL,
              "more than %u values in one file, aliases written out", LIMIT_TREE_NODES);
    b->stop = true;
    return false;
}

static void too_deep(builder *b, place at) {
    diags_add(b->out, false, "too-deep", at, NULL, "nested deeper than %u levels",
              LIMIT_TREE_DEPTH);
    b->stop = true;
}

static void check_tag(builder *b, const yaml_char_t *tag, yaml_mark_t mark) {
    if (tag == NULL) return;
    diags_add(b->out, false, "yaml-tag", place_of(b, mark),
              "leave it out: types come from the options themselves",
              "YAML tags are not supported");
}

static void put_anchor(builder *b, weir_str name, const tree_node *n) {
    if (name.len == 0) return;
    /* The map holds pointers of one kind; a node is never written through it. */
    if (!map_put(b->anchors, name, (void *)(uintptr_t)n)) out_of_memory(b);
}

static void begin_container(builder *b, tree_kind kind, const yaml_event_t *e,
                            const yaml_char_t *anchor) {
    place at = place_of(b, e->start_mark);
    if (b->depth == LIMIT_TREE_DEPTH) {
        too_deep(b, at);
        return;
    }
    tree_node *n = count_nodes(b, 1, at) ? node_new(b, kind, e) : NULL;
    if (n == NULL) return;
    frame f = {.node = n};
    if (anchor != NULL) {
        f.anchor = arena_str(b->memory, str_of((const char *)anchor));
        if (f.anchor.ptr == NULL) {
            out_of_memory(b);
            return;
        }
    }
    b->stack[b->depth++] = f;
}

static void end_container(builder *b) {
    WEIR_ASSERT(b->depth > 0); /* libyaml lets nothing end that did not begin */
    frame *f = &b->stack[b->depth - 1];
    tree_node *n = f->node;
    size_t i = 0;
    WEIR_ASSERT(n != NULL);
    if (n->kind == TREE_MAP) {
        tree_pair *pairs = arena_array(b->memory, n->count + 1, sizeof *pairs);
        if (pairs == NULL) {
            out_of_memory(b);
            return;
        }
        for (const link_t *l = f->first; l != NULL; l = l->next) pairs[i++] = l->pair;
        n->pairs = pairs;
    } else {
        const tree_node **items = arena_array(b->memory, n->count + 1, sizeof *items);
        if (items == NULL) {
            out_of_memory(b);
            return;
        }
        for (const link_t *l = f->first; l != NULL; l = l->next) items[i++] = l->pair.value;
        n->items = items;
    }
    map_free(f->seen);
    put_anchor(b, f->anchor, n);
    b->depth--;
    attach(b, n);
}

/* A scalar on one line whose width in the file is that of its text (and its quotes) has no escape
 * and no folding in it, so an offset in the text is a column of the file. */
static void find_text_column(tree_node *n, const yaml_event_t *e) {
    unsigned quotes = n->plain ? 0 : 1;
    if (e->start_mark.line != e->end_mark.line) return;
    yaml_scalar_style_t style = e->data.scalar.style;
    if (style == YAML_LITERAL_SCALAR_STYLE || style == YAML_FOLDED_SCALAR_STYLE) return;
    size_t characters = 2u * quotes;
    for (size_t i = 0; i < n->text.len; i++) {
        if (((unsigned char)n->text.ptr[i] & 0xC0u) != 0x80u) characters++;
    }
    n->literal = e->end_mark.column - e->start_mark.column == characters;
    n->text_column = n->at.column + quotes;
}

static void scalar(builder *b, const yaml_event_t *e) {
    weir_str text = {(const char *)e->data.scalar.value, e->data.scalar.length};
    place at = place_of(b, e->start_mark);
    tree_node *n = count_nodes(b, 1, at) ? node_new(b, TREE_SCALAR, e) : NULL;
    if (n == NULL) return;
    check_tag(b, e->data.scalar.tag, e->start_mark);
    if (memchr(text.ptr, 0, text.len) != NULL) {
        diags_add(b->out, false, "nul-byte", at, NULL, "a text holds a NUL byte");
        text.len = 0;
    }
    n->plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    n->text = arena_str(b->memory, text);
    if (n->text.ptr == NULL) {
        out_of_memory(b);
        return;
    }
    find_text_column(n, e);
    if (e->data.scalar.anchor != NULL) {
        put_anchor(b, str_of((const char *)e->data.scalar.anchor), n);
    }
    attach(b, n);
}

static void alias(builder *b, const yaml_event_t *e) {
    weir_str name = str_of((const char *)e->data.alias.anchor);
    place at = place_of(b, e->start_mark);
    int shown = name.len > 60 ? 60 : (int)name.len;
    for (size_t i = 0; i < b->depth; i++) {
        if (b->stack[i].anchor.len == 0 || !str_eq(b->stack[i].anchor, name)) continue;
        diags_add(b->out, false, "alias-cycle", at, NULL, "alias '*%.*s' stands inside its anchor",
                  shown, name.ptr);
        b->stop = true;
        return;
    }
    const tree_node *n = map_get(b->anchors, name);
    if (n == NULL) {
        diags_add(b->out, false, "unknown-alias", at, NULL, "no anchor '&%.*s' before its alias",
                  shown, name.ptr);
        b->stop = true;
        return;
    }
    if (b->depth + n->height > LIMIT_TREE_DEPTH) {
        too_deep(b, at);
        return;
    }
    if (count_nodes(b, n->nodes, at)) attach(b, n);
}

static void build_event(builder *b, const yaml_event_t *e) {
    switch (e->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (b->documents++ > 0) {
            diags_add(b->out, false, "yaml-documents", place_of(b, e->start_mark),
                      "one document describes one pipeline: use a file for each",
                      "a second document begins here");
            b->stop = true;
        }
        break;
    case YAML_MAPPING_START_EVENT:
        check_tag(b, e->data.mapping_start.tag, e->start_mark);
        begin_container(b, TREE_MAP, e, e->data.mapping_start.anchor);
        break;
    case YAML_SEQUENCE_START_EVENT:
        check_tag(b, e->data.sequence_start.tag, e->start_mark);
        begin_container(b, TREE_LIST, e, e->data.sequence_start.anchor);
        break;
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        end_container(b);
        break;
    case YAML_SCALAR_EVENT:
        scalar(b, e);
        break;
    case YAML_ALIAS_EVENT:
        alias(b, e);
        break;
    default:
        break;
    }
}
