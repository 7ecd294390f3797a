/*
 * core/manifest/properties.h - property groups: where they come from, which one wins, who uses
 * them.
 *
 *   properties: in the manifest  <  --properties FILE, in order  <  --set group.key=value, in order
 *
 * A property is known by its full name "group.key". Its value is manifest text: references in it
 * are resolved where it is used. Private to the module.
 */
#ifndef WEIR_MANIFEST_PROPERTIES_H
#define WEIR_MANIFEST_PROPERTIES_H

#include "manifest/load.h"

typedef enum { TEXT_PLAIN, TEXT_TEMPLATE } text_mode;
typedef enum { STATE_NEW, STATE_BUSY, STATE_DONE, STATE_FAILED } resolve_state;

typedef struct property property;
struct property {
    weir_str name;
    weir_str text;
    place at;       /* of the value in force */
    place declared; /* of the key that was there first */
    bool from_set;  /* exists through --set alone */
    bool external;  /* a variable of the environment, a file, a plugin's: its text is data, and not
                       shown */
    bool used;
    resolve_state state[2]; /* by text_mode */
    weir_str resolved[2];
    bool tainted;          /* holds text of an external one */
    bool fetched;          /* holds text of a plugin's reference */
    bool unknown;          /* and nobody has asked for it */
    const property *outer; /* while BUSY: who asked for it */
};

/* Reads all of them; `section` is the manifest's `properties`, may be NULL. Errors are reported.
 * NULL only without memory. Free with properties_free. */
properties *properties_read(load *l, const tree_node *section);
void properties_free(properties *p);

/* NULL if there is none of this name. */
property *properties_find(const properties *p, weir_str name);
/* Adds what a reference to the outside brought in, so that it is read only once. */
property *properties_add_external(load *l, weir_str reference, weir_str text, bool found);
/* "did you mean ${group.key}?" or NULL. */
const char *properties_nearest(load *l, weir_str name);

/* Notes which properties the tree below `n` refers to, directly or through others. */
void properties_mark_used(load *l, const tree_node *n);
/* Warnings for what nothing refers to; for --set they are errors. Resolves what was not yet, so
 * that errors in it are seen. */
void properties_check_used(load *l);

#endif
