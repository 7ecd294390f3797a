/*
 * json.so - the json serde: weir/json.h behind the plugin ABI.
 */
#include "weir/json.h"

#include <stdio.h>

#include "weir/sdk.h"
#include "weir_options_json.h"

/* Room asked for at first; a record of ten fields has 21 nodes. */
#define NODES_FIRST 64u

typedef struct json_serde {
    weir_ctx *ctx;
    const weir_api *api;
    weir_json_parser parser;
    weir_json_style style;
    weir_tape_builder *tape; /* of the decode under way */
} json_serde;

/* ---- the parser's memory is the host's tape builder ---- */

static weir_value *grow_nodes(void *opaque, uint32_t used, uint32_t capacity,
                              uint32_t *new_capacity) {
    json_serde *s = opaque;
    (void)used;
    weir_tape_room room = {.struct_size = sizeof room};
    if (s->api->tape.reserve(s->tape, capacity, &room) != WEIR_OK) return NULL;
    *new_capacity = room.capacity;
    return room.nodes;
}

static char *alloc_bytes(void *opaque, uint64_t size) {
    json_serde *s = opaque;
    return s->api->tape.alloc(s->tape, size);
}

/* ---- life cycle ---- */

static weir_status json_create(weir_create *args) {
    json_serde *s = weir_zalloc(args->ctx, sizeof *s);
    if (!s) return weir_fail(args->ctx, args->error, WEIR_E_NOMEM, 0, "out of memory");
    s->ctx = args->ctx;
    s->api = weir_api_of(args->ctx);
    args->self = s;
    return WEIR_OK;
}

static void json_destroy(void *self) {
    json_serde *s = self;
    weir_json_parser_free(&s->parser);
    weir_free(s->ctx, s);
}

static weir_status json_open(void *self, weir_open *args) {
    json_serde *s = self;
    (void)args;
    s->parser.grow = grow_nodes;
    s->parser.alloc = alloc_bytes;
    s->parser.opaque = s;
    s->parser.depth_max = (uint32_t)weir_opt_i64(s->ctx, OPT_JSON_DEPTH);
    s->parser.flags = 0;
    if (weir_opt_is(s->ctx, OPT_JSON_NUMBERS, "double"))
        s->parser.flags |= WEIR_JSON_NUMBERS_DOUBLE;
    if (weir_opt_is(s->ctx, OPT_JSON_DUPLICATE_KEYS, "error"))
        s->parser.flags |= WEIR_JSON_UNIQUE_KEYS;

    s->style.timestamps = WEIR_JSON_TIME_ISO8601;
    if (weir_opt_is(s->ctx, OPT_JSON_TIMESTAMPS, "epoch_ms"))
        s->style.timestamps = WEIR_JSON_TIME_EPOCH_MS;
    else if (weir_opt_is(s->ctx, OPT_JSON_TIMESTAMPS, "epoch_s"))
        s->style.timestamps = WEIR_JSON_TIME_EPOCH_S;
    else if (weir_opt_is(s->ctx, OPT_JSON_TIMESTAMPS, "epoch_us"))
        s->style.timestamps = WEIR_JSON_TIME_EPOCH_US;
    s->style.drop_nulls = (uint32_t)weir_opt_is(s->ctx, OPT_JSON_NULLS, "drop");
    return WEIR_OK;
}

/* Nothing here ever waits. */
static void json_cancel(void *self) {
    (void)self;
}

static weir_status json_close(void *self, weir_close *args) {
    (void)self;
    (void)args;
    return WEIR_OK;
}

/* ---- decode ---- */

/* What stands at the fault, for people: never more of the record than one character, which may end
 * up in a log. */
static void describe_found(weir_str text, uint64_t offset, char *out, size_t size) {
    unsigned char c = offset < text.len ? (unsigned char)text.ptr[offset] : 0;
    if (offset >= text.len)
        snprintf(out, size, "the end of the record");
    else if (c > 0x20 && c < 0x7f)
        snprintf(out, size, "'%c'", c);
    else
        snprintf(out, size, "byte 0x%02x", c);
}

static void report_fault(weir_decode *args, uint32_t record, weir_str text,
                         const weir_json_fault *fault) {
    char found[32], line[320];
    describe_found(text, fault->offset, found, sizeof found);
    int n;
    if (fault->line > 1)
        n = snprintf(line, sizeof line, "invalid JSON at line %u, column %u: %s; found %s",
                     fault->line, fault->column, fault->text, found);
    else
        n = snprintf(line, sizeof line, "invalid JSON at byte %llu: %s; found %s",
                     (unsigned long long)fault->offset, fault->text, found);
    args->fail(args, record, WEIR_E_DATA, (weir_str){line, n > 0 ? (uint64_t)n : 0});
}

static weir_status out_of_memory(json_serde *s, weir_error *error) {
    return weir_fail(s->ctx, error, WEIR_E_NOMEM, 0, "out of memory for decoded records");
}

static weir_status json_decode(void *self, weir_decode *args) {
    json_serde *s = self;
    const weir_host_tape *tape = &s->api->tape;
    const weir_rows *rows = args->batch->rows;
    s->tape = args->tape;
    for (uint32_t i = 0; i < rows->count; i++) {
        weir_tape_room room = {.struct_size = sizeof room};
        weir_status status = tape->reserve(args->tape, NODES_FIRST, &room);
        if (status != WEIR_OK) return out_of_memory(s, args->error);
        if (!rows->value_ptr[i]) {
            room.nodes[0] = (weir_value){.type = WEIR_V_NULL};
            status = tape->row(args->tape, 1, i);
            if (status != WEIR_OK) return out_of_memory(s, args->error);
            continue;
        }
        weir_str text = {rows->value_ptr[i], rows->value_len[i]};
        s->parser.nodes = room.nodes;
        s->parser.capacity = room.capacity;
        status = weir_json_parse(&s->parser, text);
        if (status == WEIR_OK) {
            if (tape->row(args->tape, s->parser.used, i) != WEIR_OK)
                return out_of_memory(s, args->error);
        } else if (status == WEIR_E_DATA) {
            report_fault(args, i, text, &s->parser.fault);
        } else if (status == WEIR_E_TOO_LARGE) {
            args->fail(args, i, status, weir_str_of("record larger than 2 GiB"));
        } else {
            return out_of_memory(s, args->error);
        }
    }
    return WEIR_OK;
}

/* ---- encode ---- */

static weir_status json_encode(void *self, weir_encode *args) {
    json_serde *s = self;
    const weir_tape *tape = args->batch->tape;
    for (uint32_t r = 0; r < tape->row_count; r++) {
        const weir_value *root = weir_tape_root(tape, r);
        uint64_t bound = weir_json_bound(root);
        char *out = args->room(args, 0, bound);
        if (!out)
            return weir_fail(s->ctx, args->error, WEIR_E_NOMEM, 0,
                             "out of memory for encoded records");
        uint64_t size = weir_json_write_styled(root, &s->style, out);
        if (size > WEIR_RECORD_BYTES_MAX) {
            args->fail(args, r, WEIR_E_TOO_LARGE, weir_str_of("record larger than 2 GiB as JSON"));
            continue;
        }
        weir_status status = args->row(args, r, size);
        if (status != WEIR_OK) return status;
    }
    return WEIR_OK;
}

/* ---- the plugin ---- */

static const weir_serde_ops json_ops = {
    .struct_size = sizeof json_ops,
    .create = json_create,
    .destroy = json_destroy,
    .open = json_open,
    .decode = json_decode,
    .encode = json_encode,
    .cancel = json_cancel,
    .close = json_close,
};

static const weir_component json_component = {
    .struct_size = sizeof json_component,
    .kind = WEIR_KIND_SERDE,
    .name = "json",
    .ops = &json_ops,
};

static const weir_component *const components[] = {&json_component};

static const weir_plugin plugin = {
    .struct_size = sizeof plugin,
    .abi_minor = WEIR_ABI_MINOR,
    .id = WEIR_PLUGIN_ID,
    .version = WEIR_PLUGIN_VERSION,
    .components = components,
    .component_count = 1,
};

WEIR_PLUGIN_ENTRY(plugin, WEIR_PLUGIN_REQUIRES_MINOR)
