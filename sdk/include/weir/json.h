/*
 * weir/json.h - JSON text to value tape and back, linked statically as part of libweir_sdk.a.
 *
 * The one JSON parser of the project: the json serde, the AWS layer and the core's note reader use
 * it. Strict RFC 8259, UTF-8 validated. Not part of the ABI.
 */
#ifndef WEIR_JSON_H
#define WEIR_JSON_H

#include "weir/types.h"
#include "weir/value.h"

#ifdef __cplusplus
extern "C" {
#endif

#define WEIR_JSON_DEPTH_DEFAULT 128u
#define WEIR_JSON_DEPTH_MAX 1000u /* a greater depth_max counts as this */
/* Duplicate member names are an error instead of "the last one counts". */
#define WEIR_JSON_UNIQUE_KEYS (1u << 0)
/* Every number that is no integer in range becomes F64, even where digits are lost. One beyond the
 * range of a double stays DECIMAL text: infinity would be a lie. */
#define WEIR_JSON_NUMBERS_DOUBLE (1u << 1)

/* Where a text is wrong. `text` is static, lower case: "expected ',' or '}'". */
typedef struct weir_json_fault {
    uint64_t offset; /* byte offset from 0 */
    uint32_t line;   /* from 1 */
    uint32_t column; /* from 1, in bytes */
    const char *text;
} weir_json_fault;

/*
 * The parser's memory. `grow` gives room for at least `capacity` nodes in all, moving those
 * written; `alloc` gives bytes for strings that had escapes; both may answer NULL. `scratch` fields
 * belong to the parser between calls: zero them once, reuse the struct for many texts, end with
 * weir_json_parser_free.
 */
typedef struct weir_json_parser {
    uint32_t flags;     /* WEIR_JSON_* */
    uint32_t depth_max; /* 0 = WEIR_JSON_DEPTH_DEFAULT */
    weir_value *nodes;  /* where the next text's nodes go */
    uint32_t capacity;
    uint32_t used; /* out: nodes of the text */
    weir_value *(*grow)(void *opaque, uint32_t used, uint32_t capacity, uint32_t *new_capacity);
    char *(*alloc)(void *opaque, uint64_t size);
    void *opaque;
    weir_json_fault fault; /* out, with WEIR_E_DATA */
    void *scratch;
} weir_json_parser;

/* Parses one text. Strings point into `text` where they had no escapes, so it must outlive the
 * nodes. WEIR_OK, WEIR_E_DATA (fault is filled), WEIR_E_NOMEM, WEIR_E_TOO_LARGE (2 GiB). */
weir_status weir_json_parse(weir_json_parser *p, weir_str text);
void weir_json_parser_free(weir_json_parser *p);

/* A small document that owns its nodes and copies its text: for answers of services and notes. */
typedef struct weir_json_doc weir_json_doc;
/* NULL on failure; `fault` (may be NULL) says where, its text "out of memory" without memory. */
weir_json_doc *weir_json_read(weir_str text, uint32_t flags, weir_json_fault *fault);
const weir_value *weir_json_root(const weir_json_doc *doc);
void weir_json_free(weir_json_doc *doc); /* NULL is ignored */

/* Member by a C string, or NULL; and with a type, read leniently: the default if absent, null or of
 * another type. */
const weir_value *weir_json_get(const weir_value *object, const char *name);
weir_str weir_json_get_str(const weir_value *object, const char *name, const char *otherwise);
int64_t weir_json_get_i64(const weir_value *object, const char *name, int64_t otherwise);
double weir_json_get_f64(const weir_value *object, const char *name, double otherwise);
int weir_json_get_bool(const weir_value *object, const char *name, int otherwise);

/*
 * Writing. The bound is never exceeded: weir_json_bound(v) bytes are enough for weir_json_write(v).
 * Both walk the value once. Numbers are shortest round-trip; F64 that is NaN or infinite is written
 * as null; BYTES as base64 text; DECIMAL strings as bare numbers; TIMESTAMP_US as RFC 3339 text,
 * DATE and TIME_US as ISO 8601 text; UUID as text.
 */
uint64_t weir_json_bound(const weir_value *v);
uint64_t weir_json_write(const weir_value *v, char *out); /* bytes written */

/* How TIMESTAMP_US is written. Numbers are exact: a fraction follows where the unit needs one. */
#define WEIR_JSON_TIME_ISO8601 0u
#define WEIR_JSON_TIME_EPOCH_S 1u
#define WEIR_JSON_TIME_EPOCH_MS 2u
#define WEIR_JSON_TIME_EPOCH_US 3u
typedef struct weir_json_style {
    uint32_t timestamps; /* WEIR_JSON_TIME_* */
    uint32_t drop_nulls; /* 1: members whose value is null are left out; elements stay */
} weir_json_style;
/* weir_json_write in a given style; the same bound holds. */
uint64_t weir_json_write_styled(const weir_value *v, const weir_json_style *style, char *out);

/* Text of one string with quotes and escapes: at most 6 * len + 2 bytes. */
uint64_t weir_json_write_str(weir_str s, char *out);
/* Numbers as text, without a NUL: at most 20 and 25 bytes. */
uint32_t weir_json_write_i64(int64_t v, char *out);
uint32_t weir_json_write_u64(uint64_t v, char *out);
uint32_t weir_json_write_f64(double v, char *out); /* shortest that reads back the same */

/* How many bytes of `text` are valid UTF-8, counted from its beginning: text.len if all are. */
uint64_t weir_utf8_span(weir_str text);

/* Standard base64 with padding: at most 4 * ((len + 2) / 3) bytes; and back, validating: the number
 * of bytes, or UINT64_MAX if it is not base64. `out` holds 3 * len / 4 bytes. */
uint64_t weir_base64_encode(weir_str bytes, char *out);
uint64_t weir_base64_decode(weir_str text, char *out);

#ifdef __cplusplus
}
#endif
#endif
