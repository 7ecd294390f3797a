#include "checkpoint/format.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/limits.h"
#include "base/str.h"
#include "weir/batch.h"

/*
 *   header     magic 8 | format 4 | kind 4 | bytes of the file 8 | epoch 8 | created 8 |
 *              sections 4 | crc 4                                                      48 bytes
 *   section    type 4 | node 4 | bytes of the payload 8 | payload | crc of all that
 *   ...        META, then for each node NODE and, unless empty, SPLT, BLOB, COMM
 *   crc        of everything before it
 */
/* The first byte is no text, and line ends show whether a transfer changed them. */
static const char magic[8] = {'\x8f', 'w', 'e', 'i', 'r', '\r', '\n', '\x1a'};

#define HEADER_BYTES 48u
#define HEAD_BYTES 16u /* of a section */
#define CRC_BYTES 4u
#define NO_NODE UINT32_MAX
#define EPOCH_MAX ((uint64_t)INT64_MAX)

#define TAG(a, b, c, d)                                                                            \
    ((uint32_t)(a) | (uint32_t)(b) << 8 | (uint32_t)(c) << 16 | (uint32_t)(d) << 24)
#define SECTION_META TAG('M', 'E', 'T', 'A')
#define SECTION_NODE TAG('N', 'O', 'D', 'E')
#define SECTION_SPLITS TAG('S', 'P', 'L', 'T')
#define SECTION_BLOBS TAG('B', 'L', 'O', 'B')
#define SECTION_COMMITTABLES TAG('C', 'O', 'M', 'M')

/* The least that one of them takes: counts are held against the bytes that are there. */
#define SPLIT_LEAST 17u
#define BLOB_LEAST 20u
#define COMMITTABLE_LEAST 28u
#define STRING_LEAST 4u

typedef struct writer {
    buf *out;
    size_t start; /* of the file */
    uint32_t sections;
    weir_error *err;
    weir_status status; /* the first thing that was refused */
} writer;

static void write_checkpoint(writer *w, const checkpoint *c);
static checkpoint *read_checkpoint(weir_str bytes, arena *memory, weir_error *err);
static weir_status check_outside(weir_str bytes, weir_error *err);

/* ---- integers ---- */

static void store_u32(char *to, uint32_t v) {
    for (int i = 0; i < 4; i++) to[i] = (char)(v >> (8 * i) & 0xff);
}

static void store_u64(char *to, uint64_t v) {
    for (int i = 0; i < 8; i++) to[i] = (char)(v >> (8 * i) & 0xff);
}

static uint32_t load_u32(const char *from) {
    const unsigned char *p = (const unsigned char *)from;
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t load_u64(const char *from) {
    return load_u32(from) | (uint64_t)load_u32(from + 4) << 32;
}

/* ---- public ---- */

weir_status checkpoint_encode(const checkpoint *c, buf *out, weir_error *err) {
    writer w = {.out = out, .start = out->len, .err = err};
    if (!buf_reserve(out, HEADER_BYTES))
        return error_set(err, WEIR_E_NOMEM, 0, "no memory for a checkpoint");
    memset(out->data + out->len, 0, HEADER_BYTES);
    out->len += HEADER_BYTES;
    write_checkpoint(&w, c);
    if (w.status == WEIR_OK && out->len - w.start > CHECKPOINT_BYTES_MAX - CRC_BYTES)
        w.status = error_set(err, WEIR_E_TOO_LARGE, 0,
                             "the checkpoint would have %zu bytes, at most %" PRIu64 " are allowed",
                             out->len - w.start, CHECKPOINT_BYTES_MAX);
    if (w.status == WEIR_OK && buf_reserve(out, CRC_BYTES)) {
        char *head = out->data + w.start;
        memcpy(head, magic, sizeof magic);
        store_u32(head + 8, CHECKPOINT_FORMAT);
        store_u32(head + 12, (uint32_t)c->kind);
        store_u64(head + 16, out->len - w.start + CRC_BYTES);
        store_u64(head + 24, c->epoch);
        store_u64(head + 32, (uint64_t)c->created_us);
        store_u32(head + 40, w.sections);
        store_u32(head + 44, crc32c(0, head, 44));
        store_u32(out->data + out->len, crc32c(0, head, out->len - w.start));
        out->len += CRC_BYTES;
        out->data[out->len] = '\0';
        return WEIR_OK;
    }
    if (w.status == WEIR_OK)
        w.status = error_set(err, WEIR_E_NOMEM, 0, "no memory for a checkpoint");
    /* What was there before stays as it was. */
    if (out->data != NULL) {
        out->len = w.start;
        out->data[out->len] = '\0';
    }
    return w.status;
}

checkpoint *checkpoint_decode(weir_str bytes, weir_error *err) {
    if (check_outside(bytes, err) != WEIR_OK) return NULL;
    /* Nothing that is read takes more than five times its bytes, its copy included. */
    arena *memory = arena_new(bytes.len * 8 + MIB);
    if (memory == NULL) {
        (void)error_set(err, WEIR_E_NOMEM, 0, "no memory to read a checkpoint");
        return NULL;
    }
    checkpoint *c = read_checkpoint(bytes, memory, err);
    if (c == NULL) arena_free(memory);
    return c;
}

bool checkpoint_peek_epoch(weir_str bytes, uint64_t *epoch) {
    if (bytes.len < HEADER_BYTES || memcmp(bytes.ptr, magic, sizeof magic) != 0 ||
        load_u32(bytes.ptr + 44) != crc32c(0, bytes.ptr, 44))
        return false;
    *epoch = load_u64(bytes.ptr + 24);
    return *epoch > 0 && *epoch <= EPOCH_MAX;
}

/* ---- writing ---- */

static void put_u32(writer *w, uint32_t v) {
    char bytes[4];
    store_u32(bytes, v);
    buf_append(w->out, bytes, sizeof bytes);
}

static void put_u64(writer *w, uint64_t v) {
    char bytes[8];
    store_u64(bytes, v);
    buf_append(w->out, bytes, sizeof bytes);
}

static void refuse_size(writer *w, const char *what, uint64_t found, uint64_t most) {
    if (w->status == WEIR_OK)
        w->status = error_set(w->err, WEIR_E_TOO_LARGE, 0,
                              "%s: %" PRIu64 " found, at most %" PRIu64 " fit into a checkpoint",
                              what, found, most);
}

static void refuse_value(writer *w, const char *what, uint64_t value) {
    if (w->status == WEIR_OK)
        w->status =
            error_set(w->err, WEIR_E_INVALID_ARG, 0, "not a checkpoint: %s %" PRIu64, what, value);
}

static void put_str(writer *w, const char *what, weir_str s, uint64_t most) {
    if (s.len > most) {
        refuse_size(w, what, s.len, most);
        return;
    }
    put_u32(w, (uint32_t)s.len);
    buf_append_str(w->out, s);
}

static size_t begin_section(writer *w, uint32_t type, uint32_t node) {
    size_t at = w->out->len;
    put_u32(w, type);
    put_u32(w, node);
    put_u64(w, 0);
    w->sections++;
    return at;
}

static void end_section(writer *w, size_t at) {
    if (!buf_ok(w->out)) return;
    char *head = w->out->data + at;
    store_u64(head + 8, w->out->len - at - HEAD_BYTES);
    put_u32(w, crc32c(0, head, w->out->len - at));
}

static void put_splits(writer *w, const state_node *n, uint32_t index) {
    size_t at = begin_section(w, SECTION_SPLITS, index);
    for (uint32_t i = 0; i < n->split_count && w->status == WEIR_OK; i++) {
        const state_split *s = &n->splits[i];
        if (s->state < STATE_WAITING || s->state > STATE_FINISHED)
            refuse_value(w, "a split's state", (uint64_t)s->state);
        if (s->parent_count > LIMIT_SPLIT_PARENTS)
            refuse_size(w, "parents of a split", s->parent_count, LIMIT_SPLIT_PARENTS);
        if (w->status != WEIR_OK) return;
        buf_append_char(w->out, (char)s->state);
        put_str(w, "bytes of a split's id", s->id, LIMIT_SPLIT_ID_BYTES);
        put_str(w, "bytes of a split's position", s->position, WEIR_POSITION_MAX);
        put_str(w, "private bytes of a split", s->private_bytes, LIMIT_SPLIT_PRIVATE_BYTES);
        put_u32(w, s->parent_count);
        for (uint32_t p = 0; p < s->parent_count; p++)
            put_str(w, "bytes of a split's id", s->parents[p], LIMIT_SPLIT_ID_BYTES);
    }
    end_section(w, at);
}

static void put_blobs(writer *w, const state_node *n, uint32_t index) {
    size_t at = begin_section(w, SECTION_BLOBS, index);
    for (uint32_t i = 0; i < n->blob_count && w->status == WEIR_OK; i++) {
        const state_blob *b = &n->blobs[i];
        if (b->scope < WEIR_SCOPE_SPLIT || b->scope > STATE_SCOPE_KEY_GROUP)
            refuse_value(w, "a blob's scope", b->scope);
        put_u32(w, b->scope);
        put_u32(w, b->version);
        put_u32(w, b->instance);
        put_str(w, "bytes of a split's id", b->split, LIMIT_SPLIT_ID_BYTES);
        put_str(w, "bytes of one blob of state", b->bytes, LIMIT_STATE_BLOB_BYTES);
    }
    end_section(w, at);
}

static void put_committables(writer *w, const state_node *n, uint32_t index) {
    size_t at = begin_section(w, SECTION_COMMITTABLES, index);
    for (uint32_t i = 0; i < n->committable_count && w->status == WEIR_OK; i++) {
        const state_committable *c = &n->committables[i];
        put_u64(w, c->epoch);
        put_u64(w, c->records);
        put_u32(w, c->version);
        put_u32(w, c->instance);
        put_str(w, "bytes of a committable", c->bytes, LIMIT_COMMITTABLE_BYTES);
    }
    end_section(w, at);
}

static void put_node(writer *w, const state_node *n, uint32_t index) {
    if (n->kind < WEIR_KIND_SOURCE || n->kind > WEIR_KIND_TRANSFORM)
        refuse_value(w, "a node's kind", n->kind);
    if (n->split_count > LIMIT_SPLITS)
        refuse_size(w, "splits of a node", n->split_count, LIMIT_SPLITS);
    if (n->blob_count > LIMIT_STATE_BLOBS)
        refuse_size(w, "blobs of a node", n->blob_count, LIMIT_STATE_BLOBS);
    if (n->committable_count > LIMIT_COMMITTABLES)
        refuse_size(w, "committables of a node", n->committable_count, LIMIT_COMMITTABLES);
    if (n->name.len == 0) refuse_value(w, "a node without a name,", index);
    if (w->status != WEIR_OK) return;
    size_t at = begin_section(w, SECTION_NODE, index);
    put_u32(w, n->kind);
    put_u32(w, n->parallelism);
    put_u32(w, n->split_version);
    put_u32(w, n->split_count);
    put_u32(w, n->blob_count);
    put_u32(w, n->committable_count);
    put_str(w, "bytes of a node's name", n->name, LIMIT_STATE_TEXT_BYTES);
    put_str(w, "bytes of a component's name", n->type, LIMIT_STATE_TEXT_BYTES);
    put_str(w, "bytes of a plugin's id", n->plugin_id, LIMIT_STATE_TEXT_BYTES);
    put_str(w, "bytes of a plugin's version", n->plugin_version, LIMIT_STATE_TEXT_BYTES);
    end_section(w, at);
    if (n->split_count > 0) put_splits(w, n, index);
    if (n->blob_count > 0) put_blobs(w, n, index);
    if (n->committable_count > 0) put_committables(w, n, index);
}

static void write_checkpoint(writer *w, const checkpoint *c) {
    if (c->kind < CHECKPOINT_PERIODIC || c->kind > CHECKPOINT_FINAL)
        refuse_value(w, "kind", (uint64_t)c->kind);
    if (c->epoch == 0 || c->epoch > EPOCH_MAX) refuse_value(w, "epoch", c->epoch);
    if (c->node_count > LIMIT_NODES) refuse_size(w, "nodes", c->node_count, LIMIT_NODES);
    size_t at = begin_section(w, SECTION_META, NO_NODE);
    put_u64(w, c->parent);
    put_u32(w, c->max_parallelism);
    put_u32(w, c->node_count);
    put_str(w, "bytes of a savepoint's name", c->name, LIMIT_NAME_BYTES);
    put_str(w, "bytes of the pipeline's name", c->pipeline, LIMIT_STATE_TEXT_BYTES);
    put_str(w, "bytes of the instance's id", c->instance_id, LIMIT_STATE_TEXT_BYTES);
    put_str(w, "bytes of weir's version", c->weir_version, LIMIT_STATE_TEXT_BYTES);
    end_section(w, at);
    for (uint32_t n = 0; n < c->node_count && w->status == WEIR_OK; n++)
        put_node(w, &c->nodes[n], n);
}

/* ---- checking from outside ---- */

static const char *section_name(uint32_t type) {
    switch (type) {
    case SECTION_META:
        return "its description";
    case SECTION_NODE:
        return "the description of a node";
    case SECTION_SPLITS:
        return "the splits of a node";
    case SECTION_BLOBS:
        return "the state of a node";
    case SECTION_COMMITTABLES:
        return "the committables of a node";
    default:
        return "a section";
    }
}

/* The checksum of the whole is wrong: says in which section, since that tells people what is lost.
 * Follows lengths that may be wrong themselves, but only within the file. */
static weir_status find_damage(weir_str bytes, weir_error *err) {
    uint64_t at = HEADER_BYTES, end = bytes.len - CRC_BYTES;
    while (end - at >= HEAD_BYTES + CRC_BYTES) {
        const char *head = bytes.ptr + at;
        uint64_t payload = load_u64(head + 8);
        if (payload > end - at - HEAD_BYTES - CRC_BYTES)
            return error_set(err, WEIR_E_DATA, 0,
                             "damaged at byte %" PRIu64 ": %s cannot have %" PRIu64 " bytes", at,
                             section_name(load_u32(head)), payload);
        uint32_t stored = load_u32(head + HEAD_BYTES + payload);
        uint32_t found = crc32c(0, head, HEAD_BYTES + payload);
        uint64_t next = at + HEAD_BYTES + payload + CRC_BYTES;
        if (stored != found)
            return error_set(err, WEIR_E_DATA, 0,
                             "damaged between bytes %" PRIu64 " and %" PRIu64
                             ", %s: checksum %08x stored, %08x found",
                             at, next, section_name(load_u32(head)), stored, found);
        at = next;
    }
    return error_set(err, WEIR_E_DATA, 0,
                     "damaged behind byte %" PRIu64 ": checksum of the whole file is wrong", at);
}

/* Everything that can be said without believing a length: header, size, checksum of the whole. */
static weir_status check_outside(weir_str bytes, weir_error *err) {
    if (bytes.len < HEADER_BYTES + CRC_BYTES)
        return error_set(err, WEIR_E_DATA, 0,
                         "truncated, or no checkpoint: %" PRIu64 " bytes, the least is %u",
                         bytes.len, HEADER_BYTES + CRC_BYTES);
    if (memcmp(bytes.ptr, magic, sizeof magic) != 0)
        return error_set(err, WEIR_E_DATA, 0,
                         "no checkpoint, or damaged at byte 0: it does not begin as one does");
    uint32_t stored = load_u32(bytes.ptr + 44), found = crc32c(0, bytes.ptr, 44);
    if (stored != found)
        return error_set(err, WEIR_E_DATA, 0,
                         "damaged between bytes 0 and %u, the header: checksum %08x stored, "
                         "%08x found",
                         HEADER_BYTES, stored, found);
    uint32_t format = load_u32(bytes.ptr + 8);
    if (format != CHECKPOINT_FORMAT) {
        (void)error_set(err, WEIR_E_INCOMPATIBLE, WEIR_ERR_CONFIG,
                        "a checkpoint of format %u; this weir reads format %u", format,
                        CHECKPOINT_FORMAT);
        error_hint(err, "run it with the version of weir that wrote it, or a newer one");
        return WEIR_E_INCOMPATIBLE;
    }
    uint64_t size = load_u64(bytes.ptr + 16);
    if (size != bytes.len)
        return error_set(err, WEIR_E_DATA, 0, "%s: %" PRIu64 " bytes, it was written with %" PRIu64,
                         size > bytes.len ? "truncated" : "something was appended", bytes.len,
                         size);
    if (bytes.len > CHECKPOINT_BYTES_MAX)
        return error_set(err, WEIR_E_DATA, 0,
                         "%" PRIu64 " bytes, a checkpoint has at most %" PRIu64, bytes.len,
                         CHECKPOINT_BYTES_MAX);
    const char *end = bytes.ptr + bytes.len - CRC_BYTES;
    if (load_u32(end) != crc32c(0, bytes.ptr, bytes.len - CRC_BYTES))
        return find_damage(bytes, err);
    return WEIR_OK;
}

/* ---- reading ---- */

/* What is left of the file, or of one section. The first failure sticks: everything after it
 * reads as zero. */
typedef struct reader {
    const char *file;
    uint64_t at, end;
    arena *memory;
    weir_error *err;
    bool failed;
} reader;

static void malformed(reader *r, uint64_t at, const char *what, uint64_t value) {
    if (!r->failed)
        (void)error_set(r->err, WEIR_E_DATA, 0, "malformed at byte %" PRIu64 ": %s %" PRIu64, at,
                        what, value);
    r->failed = true;
}

static bool take(reader *r, uint64_t bytes, const char **out) {
    if (!r->failed && bytes > r->end - r->at)
        malformed(r, r->at, "nothing is left of the section for bytes:", bytes);
    if (r->failed) return false;
    *out = r->file + r->at;
    r->at += bytes;
    return true;
}

static uint32_t get_u32(reader *r) {
    const char *p;
    return take(r, 4, &p) ? load_u32(p) : 0;
}

static uint64_t get_u64(reader *r) {
    const char *p;
    return take(r, 8, &p) ? load_u64(p) : 0;
}

static uint32_t get_in(reader *r, const char *what, uint32_t least, uint32_t most) {
    uint64_t at = r->at;
    uint32_t v = get_u32(r);
    if (!r->failed && (v < least || v > most)) malformed(r, at, what, v);
    return v;
}

/* Points into the copy of the file that the checkpoint owns. */
static weir_str get_str(reader *r, const char *what, uint64_t most) {
    uint64_t at = r->at;
    const char *p = "";
    uint64_t len = get_u32(r);
    if (!r->failed && len > most) malformed(r, at, what, len);
    return take(r, len, &p) ? str_make(p, len) : STR("");
}

/* An array for `count` things of which each has `least` bytes or more in the section. */
static void *get_array(reader *r, uint32_t count, uint64_t least, size_t size) {
    if (!r->failed && count > (r->end - r->at) / least)
        malformed(r, r->at, "the section is too small for", count);
    if (r->failed) return NULL;
    void *items = arena_array(r->memory, count, size);
    if (items == NULL) {
        (void)error_set(r->err, WEIR_E_NOMEM, 0, "no memory to read a checkpoint");
        r->failed = true;
    }
    return items;
}

/* The next section, which must be of this type and node, as a reader of its own. */
static reader open_section(reader *r, uint32_t type, uint32_t node, uint32_t *sections) {
    reader s = *r;
    uint64_t at = r->at;
    uint32_t t = get_u32(r), n = get_u32(r);
    uint64_t len = get_u64(r);
    const char *p;
    if (!r->failed && (t != type || n != node))
        malformed(r, at, t != type ? "a section of another type:" : "a section of another node:",
                  t != type ? t : n);
    if (!r->failed && r->end - r->at < CRC_BYTES) malformed(r, at, "the file ends in section", n);
    if (!r->failed && len > r->end - r->at - CRC_BYTES)
        malformed(r, at, "the file is too small for a section of bytes:", len);
    (void)take(r, len, &p);
    uint32_t stored = get_u32(r);
    if (!r->failed && stored != crc32c(0, r->file + at, HEAD_BYTES + len))
        malformed(r, at, "wrong checksum of a section:", stored);
    s.at = at + HEAD_BYTES;
    s.end = s.at + (r->failed ? 0 : len);
    s.failed = r->failed;
    (*sections)++;
    return s;
}

static bool close_section(reader *r, reader *s) {
    if (!s->failed && s->at != s->end)
        malformed(s, s->at, "a section has bytes too many:", s->end - s->at);
    r->failed = s->failed;
    return !r->failed;
}

static void get_splits(reader *s, state_node *n) {
    n->splits = get_array(s, n->split_count, SPLIT_LEAST, sizeof *n->splits);
    for (uint32_t i = 0; i < n->split_count && !s->failed; i++) {
        state_split *to = &n->splits[i];
        const char *state = "";
        uint64_t at = s->at;
        (void)take(s, 1, &state);
        uint32_t value = (unsigned char)state[0];
        if (value < STATE_WAITING || value > STATE_FINISHED)
            malformed(s, at, "unknown state of a split:", value);
        to->state = (state_split_state)value;
        to->id = get_str(s, "a split's id is too long:", LIMIT_SPLIT_ID_BYTES);
        to->position = get_str(s, "a position is too long:", WEIR_POSITION_MAX);
        to->private_bytes = get_str(s, "private bytes too many:", LIMIT_SPLIT_PRIVATE_BYTES);
        to->parent_count = get_in(s, "too many parents of a split:", 0, LIMIT_SPLIT_PARENTS);
        if (s->failed || to->parent_count == 0) continue;
        weir_str *parents = get_array(s, to->parent_count, STRING_LEAST, sizeof *parents);
        for (uint32_t p = 0; p < to->parent_count && parents != NULL; p++)
            parents[p] = get_str(s, "a split's id is too long:", LIMIT_SPLIT_ID_BYTES);
        to->parents = parents;
    }
}

static void get_blobs(reader *s, state_node *n) {
    n->blobs = get_array(s, n->blob_count, BLOB_LEAST, sizeof *n->blobs);
    for (uint32_t i = 0; i < n->blob_count && !s->failed; i++) {
        state_blob *to = &n->blobs[i];
        to->scope = get_in(s, "unknown scope of a blob:", WEIR_SCOPE_SPLIT, STATE_SCOPE_KEY_GROUP);
        to->version = get_u32(s);
        to->instance = get_u32(s);
        to->split = get_str(s, "a split's id is too long:", LIMIT_SPLIT_ID_BYTES);
        to->bytes = get_str(s, "a blob is too long:", LIMIT_STATE_BLOB_BYTES);
    }
}

static void get_committables(reader *s, state_node *n) {
    n->committables =
        get_array(s, n->committable_count, COMMITTABLE_LEAST, sizeof *n->committables);
    for (uint32_t i = 0; i < n->committable_count && !s->failed; i++) {
        state_committable *to = &n->committables[i];
        to->epoch = get_u64(s);
        to->records = get_u64(s);
        to->version = get_u32(s);
        to->instance = get_u32(s);
        to->bytes = get_str(s, "a committable is too long:", LIMIT_COMMITTABLE_BYTES);
    }
}

static void get_node(reader *r, state_node *n, uint32_t index, uint32_t *sections) {
    reader s = open_section(r, SECTION_NODE, index, sections);
    n->kind = get_in(&s, "unknown kind of a node:", WEIR_KIND_SOURCE, WEIR_KIND_TRANSFORM);
    n->parallelism = get_u32(&s);
    n->split_version = get_u32(&s);
    n->split_count = get_in(&s, "too many splits:", 0, LIMIT_SPLITS);
    n->blob_count = get_in(&s, "too many blobs:", 0, LIMIT_STATE_BLOBS);
    n->committable_count = get_in(&s, "too many committables:", 0, LIMIT_COMMITTABLES);
    uint64_t at = s.at;
    n->name = get_str(&s, "a node's name is too long:", LIMIT_STATE_TEXT_BYTES);
    if (!s.failed && n->name.len == 0) malformed(&s, at, "no name of node", index);
    n->type = get_str(&s, "a component's name is too long:", LIMIT_STATE_TEXT_BYTES);
    n->plugin_id = get_str(&s, "a plugin's id is too long:", LIMIT_STATE_TEXT_BYTES);
    n->plugin_version = get_str(&s, "a plugin's version is too long:", LIMIT_STATE_TEXT_BYTES);
    if (!close_section(r, &s)) return;
    if (n->split_count > 0) {
        s = open_section(r, SECTION_SPLITS, index, sections);
        get_splits(&s, n);
        if (!close_section(r, &s)) return;
    }
    if (n->blob_count > 0) {
        s = open_section(r, SECTION_BLOBS, index, sections);
        get_blobs(&s, n);
        if (!close_section(r, &s)) return;
    }
    if (n->committable_count > 0) {
        s = open_section(r, SECTION_COMMITTABLES, index, sections);
        get_committables(&s, n);
        (void)close_section(r, &s);
    }
}

/* Two nodes of one name could not be told apart at a restore. */
static void check_names(reader *r, const checkpoint *c) {
    for (uint32_t i = 1; i < c->node_count && !r->failed; i++)
        for (uint32_t k = 0; k < i && !r->failed; k++)
            if (str_eq(c->nodes[i].name, c->nodes[k].name))
                malformed(r, r->at, "a name stands twice, again at node", i);
}

static checkpoint *read_checkpoint(weir_str bytes, arena *memory, weir_error *err) {
    checkpoint *c = arena_zalloc(memory, sizeof *c);
    char *copy = c != NULL ? arena_alloc(memory, bytes.len) : NULL;
    if (copy == NULL) {
        (void)error_set(err, WEIR_E_NOMEM, 0, "no memory to read a checkpoint");
        return NULL;
    }
    memcpy(copy, bytes.ptr, bytes.len);
    reader r = {.file = copy, .at = 12, .end = HEADER_BYTES, .memory = memory, .err = err};
    uint32_t sections = 0;
    c->memory = memory;
    c->path = STR("");
    c->kind = (checkpoint_kind)get_in(&r, "unknown kind:", CHECKPOINT_PERIODIC, CHECKPOINT_FINAL);
    (void)get_u64(&r); /* the size: checked */
    c->epoch = get_u64(&r);
    if (!r.failed && (c->epoch == 0 || c->epoch > EPOCH_MAX)) malformed(&r, 24, "epoch", c->epoch);
    c->created_us = (int64_t)get_u64(&r);
    uint32_t expected = get_u32(&r);

    r.at = HEADER_BYTES;
    r.end = bytes.len - CRC_BYTES;
    reader s = open_section(&r, SECTION_META, NO_NODE, &sections);
    c->parent = get_u64(&s);
    c->max_parallelism = get_u32(&s);
    c->node_count = get_in(&s, "too many nodes:", 0, LIMIT_NODES);
    c->name = get_str(&s, "a savepoint's name is too long:", LIMIT_NAME_BYTES);
    c->pipeline = get_str(&s, "a pipeline's name is too long:", LIMIT_STATE_TEXT_BYTES);
    c->instance_id = get_str(&s, "an instance's id is too long:", LIMIT_STATE_TEXT_BYTES);
    c->weir_version = get_str(&s, "weir's version is too long:", LIMIT_STATE_TEXT_BYTES);
    if (!close_section(&r, &s)) return NULL;
    c->nodes = get_array(&r, c->node_count, HEAD_BYTES + CRC_BYTES, sizeof *c->nodes);
    for (uint32_t n = 0; n < c->node_count && !r.failed; n++)
        get_node(&r, &c->nodes[n], n, &sections);
    if (!r.failed && r.at != r.end) malformed(&r, r.at, "bytes too many:", r.end - r.at);
    if (!r.failed && sections != expected)
        malformed(&r, 40, "another number of sections:", expected);
    check_names(&r, c);
    return r.failed ? NULL : c;
}
