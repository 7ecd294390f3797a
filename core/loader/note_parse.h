/*
 * core/loader/note_parse.h - plugin.json from a note, as structs.
 *
 * Private to the loader.
 */
#ifndef WEIR_LOADER_NOTE_PARSE_H
#define WEIR_LOADER_NOTE_PARSE_H

#include "loader/loader.h"
#include "weir/json.h"

/* The JSON parser's memory, kept from one note to the next. Zero it before the first use. */
typedef struct note_reader {
    weir_json_parser parser;
    weir_value *nodes;
    uint32_t capacity;
} note_reader;

void note_reader_free(note_reader *reader);

/*
 * Fills `out` from `out->json`; texts point into that JSON or into `memory`. Everything that is
 * read is checked for type, range and size; keys that this host does not know are left alone: a
 * newer plugin may say more of itself. Missing licence, summary or vendor is an error, and so is an
 * ABI that this host cannot serve. WEIR_E_DATA, WEIR_E_INCOMPATIBLE, WEIR_E_TOO_LARGE,
 * WEIR_E_NOMEM. [control]
 */
weir_status note_parse(note_reader *reader, arena *memory, note *out, weir_error *err);

/* The name of a component kind: "source"; "component" for an unknown one. */
const char *note_kind_name(uint32_t kind);

#endif
