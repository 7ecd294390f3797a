/*
 * core/manifest/tree.h - a YAML document as a tree whose every node knows its line and column.
 *
 * Values are text: what a scalar means is decided by whoever asks for it. Aliases share the node of
 * their anchor, so the tree may be a directed acyclic graph; `nodes` and `height` count as if each
 * alias were written out, and both are limited, so that walking it as a tree is bounded.
 */
#ifndef WEIR_MANIFEST_TREE_H
#define WEIR_MANIFEST_TREE_H

#include "manifest/manifest.h"

typedef enum { TREE_SCALAR, TREE_LIST, TREE_MAP } tree_kind;

typedef struct tree_node tree_node;
typedef struct tree_pair {
    weir_str key;
    place at; /* of the key */
    const tree_node *value;
} tree_pair;

struct tree_node {
    tree_kind kind;
    bool plain;           /* a scalar without quotes */
    bool literal;         /* its text stands in the file byte for byte, from text_column on */
    unsigned text_column; /* first character of the text, behind a quote */
    place at;
    uint32_t nodes;  /* of this subtree, aliases expanded */
    uint32_t height; /* 1 for a scalar */
    weir_str text;   /* TREE_SCALAR; holds no NUL byte, has one behind it */
    size_t count;
    const tree_pair *pairs;        /* TREE_MAP; keys differ from each other */
    const tree_node *const *items; /* TREE_LIST */
};

/* Parses one document; JSON is YAML too. `file` must live as long as the tree, which lives in
 * `memory`. NULL if there is none; errors that leave a tree behind (a duplicate key, a merge key, a
 * tag) are reported and the offender is left out. [any] */
const tree_node *tree_parse(const char *file, weir_str text, arena *memory, diags *out);

/* The value of a key, NULL if absent. [any] */
const tree_pair *tree_get(const tree_node *n, const char *key);

/* True for a plain scalar that is empty, "~" or "null": a key without a value. [any] */
bool tree_is_nothing(const tree_node *n);

/* The place of a byte of a scalar's text, as good as it can be known. [any] */
place tree_place(const tree_node *scalar, size_t offset);

#endif
