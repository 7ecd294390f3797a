/* CBOR to value tape. The writer is in cbor_write.c. */
#include "cbor.h"

#include <string.h>

#include "../json/json_private.h" /* growing of the tape, comparing of names */

/* Major types, the upper three bits of an item's first byte. */
#define MAJOR_UNSIGNED 0u
#define MAJOR_NEGATIVE 1u
#define MAJOR_BYTES 2u
#define MAJOR_TEXT 3u
#define MAJOR_ARRAY 4u
#define MAJOR_MAP 5u
#define MAJOR_TAG 6u
#define MAJOR_SIMPLE 7u

/* Its lower five. */
#define INFO_ONE_BYTE 24u
#define INFO_EIGHT_BYTES 27u
#define INFO_INDEFINITE 31u
#define BREAK 0xffu

#define NO_NODE UINT32_MAX
#define TAG_NONE UINT64_MAX
#define TAG_TIME 1u
#define TAG_UUID 37u

/*
 * One parse under way. Containers that are open form a list through their own nodes, so that depth
 * costs no memory: as.skip holds the index of the one around it and `size` counts the items that
 * have come, names included. How many are to come stands here for the innermost one; for those
 * around it, in the upper half of as.skip.
 */
typedef struct cbor_run {
    json_run json; /* p, begin, end; where and what the fault is */
    const uint8_t *at;
    const uint8_t *end;
    uint32_t open;  /* innermost open container, NO_NODE at the top */
    uint32_t left;  /* items it still waits for, INDEFINITE until a break */
    uint32_t depth; /* containers open */
    uint32_t used;
} cbor_run;
#define INDEFINITE UINT32_MAX

/* The head of an item: its major type and its argument. */
typedef struct cbor_head {
    uint32_t major;
    uint32_t info;
    uint64_t value;
} cbor_head;

static weir_status parse(cbor_run *c);
static weir_status read_item(cbor_run *c);
static weir_status read_head(cbor_run *c, cbor_head *head);
static weir_status read_tags(cbor_run *c, cbor_head *head, uint64_t *tag);
static weir_status open_container(cbor_run *c, const cbor_head *head, const uint8_t *at);
static weir_status close_container(cbor_run *c, const uint8_t *at);
static weir_status read_string(cbor_run *c, const cbor_head *head, weir_value *node);
static weir_status read_chunks(cbor_run *c, uint32_t major, weir_value *node);
static weir_status read_negative(cbor_run *c, uint64_t value, weir_value *node);
static weir_status read_simple(cbor_run *c, const cbor_head *head, const uint8_t *at,
                               weir_value *node);
static weir_status apply_tag(cbor_run *c, uint64_t tag, const uint8_t *at, weir_value *node);
static double half_to_double(uint64_t bits);
static weir_status refuse(cbor_run *c, const uint8_t *at, const char *text);

weir_status weir_cbor_parse(weir_json_parser *p, weir_str bytes) {
    p->used = 0;
    if (bytes.len > INT32_MAX) return WEIR_E_TOO_LARGE;
    if (p->depth_max == 0) p->depth_max = WEIR_JSON_DEPTH_DEFAULT;
    if (p->depth_max > WEIR_JSON_DEPTH_MAX) p->depth_max = WEIR_JSON_DEPTH_MAX;

    const uint8_t *begin = (const uint8_t *)(bytes.len ? bytes.ptr : "");
    cbor_run c = {.json = {.p = p, .begin = begin, .end = begin + bytes.len},
                  .at = begin,
                  .end = begin + bytes.len,
                  .open = NO_NODE};
    weir_status status = parse(&c);
    if (status == WEIR_OK) {
        p->used = c.used;
    } else if (status == WEIR_E_DATA) {
        uint64_t offset = (uint64_t)(c.json.fault_at - begin);
        p->fault = (weir_json_fault){
            .offset = offset, .line = 1, .column = (uint32_t)offset + 1, .text = c.json.fault_text};
    }
    return status;
}

static weir_status parse(cbor_run *c) {
    do {
        weir_status status = read_item(c);
        if (status != WEIR_OK) return status;
        while (c->open != NO_NODE && c->left == 0) {
            status = close_container(c, c->at);
            if (status != WEIR_OK) return status;
        }
    } while (c->open != NO_NODE);
    if (c->at < c->end) return refuse(c, c->at, "expected the end, found more bytes");
    return WEIR_OK;
}

/* One item, or the head of a container, or a break. */
static weir_status read_item(cbor_run *c) {
    const uint8_t *at = c->at;
    weir_json_parser *p = c->json.p;
    bool is_name = false;
    if (c->open != NO_NODE) {
        weir_value *container = p->nodes + c->open;
        is_name = container->type == WEIR_V_OBJECT && container->size % 2 == 0;
        if (c->left == INDEFINITE && at < c->end && *at == BREAK) {
            if (container->type == WEIR_V_OBJECT && !is_name)
                return refuse(c, at, "expected a member's value, found a break");
            c->at++;
            c->left = 0;
            return WEIR_OK;
        }
    }

    cbor_head head;
    uint64_t tag = TAG_NONE;
    weir_status status = read_tags(c, &head, &tag);
    if (status != WEIR_OK) return status;
    if (is_name && head.major != MAJOR_TEXT)
        return refuse(c, at, "expected a text string as a member's name");

    if (c->used == p->capacity) {
        status = json_grow(p, c->used);
        if (status != WEIR_OK) return status;
    }
    if (c->open != NO_NODE) {
        p->nodes[c->open].size++;
        if (c->left != INDEFINITE) c->left--;
    }
    weir_value *node = p->nodes + c->used;
    *node = (weir_value){.type = WEIR_V_NULL};
    switch (head.major) {
    case MAJOR_UNSIGNED:
        node->type = head.value > INT64_MAX ? WEIR_V_U64 : WEIR_V_I64;
        node->as.u64 = head.value;
        break;
    case MAJOR_NEGATIVE:
        status = read_negative(c, head.value, node);
        break;
    case MAJOR_BYTES:
    case MAJOR_TEXT:
        status = read_string(c, &head, node);
        break;
    case MAJOR_ARRAY:
    case MAJOR_MAP:
        status = open_container(c, &head, at);
        break;
    default:
        status = read_simple(c, &head, at, node);
        break;
    }
    if (status == WEIR_OK && tag != TAG_NONE) status = apply_tag(c, tag, at, node);
    c->used++;
    return status;
}

/* First byte and argument; at a tag too. */
static weir_status read_head(cbor_run *c, cbor_head *head) {
    const uint8_t *at = c->at;
    if (at == c->end) return refuse(c, at, "expected an item, found the end");
    head->major = (uint32_t)*at >> 5;
    head->info = *at & 0x1fu;
    head->value = head->info;
    c->at++;
    if (head->info < INFO_ONE_BYTE) return WEIR_OK;
    if (head->info > INFO_EIGHT_BYTES) {
        bool endless =
            head->info == INFO_INDEFINITE && head->major >= MAJOR_BYTES && head->major <= MAJOR_MAP;
        if (endless) return WEIR_OK;
        return refuse(c, at,
                      *at == BREAK ? "expected an item, found a break"
                                   : "expected an item, found a reserved first byte");
    }
    uint32_t count = 1u << (head->info - INFO_ONE_BYTE);
    if ((uint64_t)(c->end - c->at) < count)
        return refuse(c, at, "expected the rest of a number, found the end");
    head->value = 0;
    for (uint32_t i = 0; i < count; i++) head->value = head->value << 8 | *c->at++;
    return WEIR_OK;
}

/* Tags and the head behind them. Of several, the last that means something to the tape counts. */
static weir_status read_tags(cbor_run *c, cbor_head *head, uint64_t *tag) {
    for (;;) {
        const uint8_t *at = c->at;
        weir_status status = read_head(c, head);
        if (status != WEIR_OK || head->major != MAJOR_TAG) return status;
        if (*tag != TAG_NONE) return refuse(c, at, "expected a tag's content, found another tag");
        if (head->value >= 2 && head->value <= 5)
            return refuse(c, at,
                          head->value <= 3 ? "a bignum (tag 2 or 3) has no place in a record"
                                           : "a decimal or big float (tag 4 or 5) has no place in "
                                             "a record");
        if (head->value == TAG_TIME || head->value == TAG_UUID) *tag = head->value;
    }
}

/* A count is checked against the bytes that are left, one an item at least, before anything is
 * kept for it. */
static weir_status open_container(cbor_run *c, const cbor_head *head, const uint8_t *at) {
    bool is_map = head->major == MAJOR_MAP;
    uint64_t count = head->value;
    if (head->info == INFO_INDEFINITE) {
        count = INDEFINITE;
    } else {
        uint64_t bytes_left = (uint64_t)(c->end - c->at);
        if (count > bytes_left / (is_map ? 2 : 1))
            return refuse(c, at,
                          is_map ? "the map is longer than the input"
                                 : "the array is longer than the input");
        count *= is_map ? 2 : 1;
    }
    if (c->depth == c->json.p->depth_max) return refuse(c, at, "nested too deeply");
    c->depth++;
    weir_value *node = c->json.p->nodes + c->used;
    node->type = is_map ? WEIR_V_OBJECT : WEIR_V_ARRAY;
    node->as.skip = (uint64_t)c->left << 32 | c->open;
    c->open = c->used;
    c->left = (uint32_t)count;
    return WEIR_OK;
}

/* The innermost container is complete; `at` is behind it. */
static weir_status close_container(cbor_run *c, const uint8_t *at) {
    weir_value *node = c->json.p->nodes + c->open;
    uint64_t around = node->as.skip;
    node->as.skip = c->used - c->open;
    if (node->type == WEIR_V_OBJECT) {
        node->size /= 2;
        if (c->json.p->flags & WEIR_JSON_UNIQUE_KEYS) {
            weir_status status = json_check_unique(&c->json, node, at);
            if (status != WEIR_OK) return status;
        }
    }
    c->open = (uint32_t)around;
    c->left = (uint32_t)(around >> 32);
    c->depth--;
    return WEIR_OK;
}

static weir_status read_string(cbor_run *c, const cbor_head *head, weir_value *node) {
    node->type = head->major == MAJOR_TEXT ? WEIR_V_STRING : WEIR_V_BYTES;
    if (head->info == INFO_INDEFINITE) return read_chunks(c, head->major, node);
    if (head->value > (uint64_t)(c->end - c->at))
        return refuse(c, c->at, "the string is longer than the input");
    weir_str s = {(const char *)c->at, head->value};
    if (head->major == MAJOR_TEXT) {
        uint64_t valid = weir_utf8_span(s);
        if (valid < s.len) return refuse(c, c->at + valid, "a text string is not valid UTF-8");
    }
    node->as.ptr = s.ptr;
    node->size = (uint32_t)s.len;
    c->at += s.len;
    return WEIR_OK;
}

/* A string in chunks, each a string of the same type and of known length, up to a break. They are
 * looked at twice: to check and to count, and to copy. One alone stays where it is. */
static weir_status read_chunks(cbor_run *c, uint32_t major, weir_value *node) {
    const uint8_t *first = c->at;
    uint64_t total = 0;
    uint32_t filled = 0; /* chunks that are not empty */
    for (;;) {
        const uint8_t *at = c->at;
        if (at < c->end && *at == BREAK) break;
        cbor_head head;
        weir_value chunk;
        weir_status status = read_head(c, &head);
        if (status != WEIR_OK) return status;
        if (head.major != major || head.info == INFO_INDEFINITE)
            return refuse(c, at, "expected a chunk of the string, found another item");
        status = read_string(c, &head, &chunk);
        if (status != WEIR_OK) return status;
        if (chunk.size == 0) continue;
        filled++;
        total += chunk.size;
        node->as.ptr = chunk.as.ptr;
    }
    node->size = (uint32_t)total;
    const uint8_t *behind = c->at + 1;
    if (filled == 0) node->as.ptr = (const char *)first;
    if (filled > 1) {
        weir_json_parser *p = c->json.p;
        char *out = p->alloc ? p->alloc(p->opaque, total) : NULL;
        if (!out) return WEIR_E_NOMEM;
        node->as.ptr = out;
        c->at = first;
        while (*c->at != BREAK) {
            cbor_head head;
            weir_status status = read_head(c, &head);
            if (status != WEIR_OK) return status;
            memcpy(out, c->at, (size_t)head.value);
            out += head.value;
            c->at += head.value;
        }
    }
    c->at = behind;
    return WEIR_OK;
}

/* -1 - value. What no node holds is kept as its text, as the JSON parser does. */
static weir_status read_negative(cbor_run *c, uint64_t value, weir_value *node) {
    if (value <= INT64_MAX) {
        node->type = WEIR_V_I64;
        node->as.i64 = -1 - (int64_t)value;
        return WEIR_OK;
    }
    char digits[24];
    uint32_t len = 1;
    digits[0] = '-';
    if (value == UINT64_MAX) { /* 2^64 is in no integer either */
        static const char lowest[] = "-18446744073709551616";
        len = sizeof lowest - 1;
        memcpy(digits, lowest, len);
    } else {
        len += weir_json_write_u64(value + 1, digits + 1);
    }
    weir_json_parser *p = c->json.p;
    char *out = p->alloc ? p->alloc(p->opaque, len) : NULL;
    if (!out) return WEIR_E_NOMEM;
    memcpy(out, digits, len);
    node->type = WEIR_V_STRING;
    node->logical = WEIR_L_DECIMAL;
    node->size = len;
    node->as.ptr = out;
    return WEIR_OK;
}

static weir_status read_simple(cbor_run *c, const cbor_head *head, const uint8_t *at,
                               weir_value *node) {
    switch (head->info) {
    case 20:
    case 21:
        node->type = WEIR_V_BOOL;
        node->as.u64 = head->info - 20;
        return WEIR_OK;
    case 22: /* null */
    case 23: /* undefined */
        node->type = WEIR_V_NULL;
        return WEIR_OK;
    case 25:
        node->as.f64 = half_to_double(head->value);
        break;
    case 26: {
        uint32_t bits = (uint32_t)head->value;
        float single;
        memcpy(&single, &bits, sizeof single);
        node->as.f64 = (double)single;
        break;
    }
    case 27:
        memcpy(&node->as.f64, &head->value, sizeof node->as.f64);
        break;
    default:
        return refuse(c, at, "expected an item, found a simple value without meaning");
    }
    node->type = WEIR_V_F64;
    return WEIR_OK;
}

static weir_status apply_tag(cbor_run *c, uint64_t tag, const uint8_t *at, weir_value *node) {
    if (tag == TAG_UUID) {
        if (node->type != WEIR_V_BYTES || node->size != 16)
            return refuse(c, at, "expected 16 bytes as a UUID (tag 37)");
        node->logical = WEIR_L_UUID;
        return WEIR_OK;
    }
    int64_t us_per_unit = c->json.p->flags & WEIR_CBOR_TIME_MS ? 1000 : 1000000;
    int64_t us = 0;
    if (node->type == WEIR_V_I64) {
        if (__builtin_mul_overflow(node->as.i64, us_per_unit, &us))
            return refuse(c, at, "a time (tag 1) is out of range");
    } else if (node->type == WEIR_V_F64) {
        double exact = node->as.f64 * (double)us_per_unit;
        /* Also false for a NaN. */
        if (!(exact > -9.2e18 && exact < 9.2e18))
            return refuse(c, at, "a time (tag 1) is out of range");
        us = (int64_t)(exact + (exact < 0 ? -0.5 : 0.5));
    } else if (node->type == WEIR_V_U64 || node->logical == WEIR_L_DECIMAL) {
        return refuse(c, at, "a time (tag 1) is out of range");
    } else {
        return refuse(c, at, "expected a number as a time (tag 1)");
    }
    node->type = WEIR_V_I64;
    node->logical = WEIR_L_TIMESTAMP_US;
    node->as.i64 = us;
    return WEIR_OK;
}

/* RFC 8949 appendix D: a sign, five bits of exponent, ten of fraction. */
static double half_to_double(uint64_t bits) {
    uint64_t sign = bits >> 15 << 63, exponent = bits >> 10 & 0x1f, fraction = bits & 0x3ff;
    uint64_t wide;
    if (exponent == 0) { /* zero or subnormal: fraction * 2^-24, which a double holds */
        double v = (double)fraction / 16777216.0;
        memcpy(&wide, &v, sizeof wide);
    } else {
        uint64_t wide_exponent = exponent == 0x1f ? 0x7ff : exponent - 15 + 1023;
        wide = wide_exponent << 52 | fraction << 42;
    }
    wide |= sign;
    double v;
    memcpy(&v, &wide, sizeof v);
    return v;
}

static weir_status refuse(cbor_run *c, const uint8_t *at, const char *text) {
    c->json.fault_at = at;
    c->json.fault_text = text;
    return WEIR_E_DATA;
}
