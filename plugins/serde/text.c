/*
 * text.so - the text serde: a record is one string.
 *
 * Decoding makes a row with one STRING root that points into the record. Encoding takes what has an
 * obvious text: strings, bytes as they are, numbers, truth values, dates and the like as the json
 * serde writes them, but without quotes.
 */
#include <stdio.h>

#include "weir/json.h"
#include "weir/sdk.h"
#include "weir_options_text.h"

typedef struct text_serde {
    weir_ctx *ctx;
    const weir_api *api;
} text_serde;

static weir_status text_create(weir_create *args) {
    text_serde *s = weir_zalloc(args->ctx, sizeof *s);
    if (!s) return weir_fail(args->ctx, args->error, WEIR_E_NOMEM, 0, "out of memory");
    s->ctx = args->ctx;
    s->api = weir_api_of(args->ctx);
    args->self = s;
    return WEIR_OK;
}

static void text_destroy(void *self) {
    text_serde *s = self;
    weir_free(s->ctx, s);
}

static weir_status text_open(void *self, weir_open *args) {
    (void)self;
    (void)args;
    return WEIR_OK;
}

/* Nothing here ever waits. */
static void text_cancel(void *self) {
    (void)self;
}

static weir_status text_close(void *self, weir_close *args) {
    (void)self;
    (void)args;
    return WEIR_OK;
}

static weir_status text_decode(void *self, weir_decode *args) {
    text_serde *s = self;
    const weir_rows *rows = args->batch->rows;
    for (uint32_t i = 0; i < rows->count; i++) {
        weir_value value = {.type = WEIR_V_NULL};
        if (rows->value_ptr[i]) {
            weir_str text = {rows->value_ptr[i], rows->value_len[i]};
            uint64_t valid = weir_utf8_span(text);
            if (valid < text.len) {
                char why[160];
                int n =
                    snprintf(why, sizeof why,
                             "expected UTF-8 text, found byte 0x%02x at offset %llu; format raw "
                             "takes any bytes",
                             (unsigned char)text.ptr[valid], (unsigned long long)valid);
                args->fail(args, i, WEIR_E_DATA, (weir_str){why, n > 0 ? (uint64_t)n : 0});
                continue;
            }
            value =
                (weir_value){.type = WEIR_V_STRING, .size = rows->value_len[i], .as.ptr = text.ptr};
        }
        weir_tape_room room = {.struct_size = sizeof room};
        if (s->api->tape.reserve(args->tape, 1, &room) != WEIR_OK)
            return weir_fail(s->ctx, args->error, WEIR_E_NOMEM, 0,
                             "out of memory for decoded records");
        room.nodes[0] = value;
        if (s->api->tape.row(args->tape, 1, i) != WEIR_OK)
            return weir_fail(s->ctx, args->error, WEIR_E_NOMEM, 0,
                             "out of memory for decoded records");
    }
    return WEIR_OK;
}

/* The value as text; NULL: no memory. A string that JSON puts in quotes here has no escapes in it:
 * dates, times and UUIDs. */
static char *put_text(weir_encode *args, const weir_value *v, uint64_t *size) {
    if (v->type == WEIR_V_STRING || (v->type == WEIR_V_BYTES && v->logical == WEIR_L_NONE)) {
        char *out = args->room(args, 0, v->size ? v->size : 1);
        if (out && v->size) memcpy(out, v->as.ptr, v->size);
        *size = v->size;
        return out;
    }
    char *out = args->room(args, 0, weir_json_bound(v));
    if (!out) return NULL;
    *size = weir_json_write(v, out);
    if (*size >= 2 && out[0] == '"') {
        *size -= 2;
        memmove(out, out + 1, (size_t)*size);
    }
    return out;
}

static weir_status text_encode(void *self, weir_encode *args) {
    text_serde *s = self;
    const weir_tape *tape = args->batch->tape;
    for (uint32_t r = 0; r < tape->row_count; r++) {
        const weir_value *root = weir_tape_root(tape, r);
        if (root->type == WEIR_V_NULL || root->type >= WEIR_V_ARRAY) {
            const char *found = root->type == WEIR_V_NULL    ? "null"
                                : root->type == WEIR_V_ARRAY ? "an array"
                                                             : "an object";
            char why[160];
            int n = snprintf(why, sizeof why,
                             "text needs a string, bytes, a number or a truth value, found %s; "
                             "format json takes any value",
                             found);
            args->fail(args, r, WEIR_E_DATA, (weir_str){why, n > 0 ? (uint64_t)n : 0});
            continue;
        }
        uint64_t size = 0;
        if (!put_text(args, root, &size))
            return weir_fail(s->ctx, args->error, WEIR_E_NOMEM, 0,
                             "out of memory for encoded records");
        weir_status status = args->row(args, r, size);
        if (status != WEIR_OK) return status;
    }
    return WEIR_OK;
}

static const weir_serde_ops text_ops = {
    .struct_size = sizeof text_ops,
    .create = text_create,
    .destroy = text_destroy,
    .open = text_open,
    .decode = text_decode,
    .encode = text_encode,
    .cancel = text_cancel,
    .close = text_close,
};

static const weir_component text_component = {
    .struct_size = sizeof text_component,
    .kind = WEIR_KIND_SERDE,
    .name = "text",
    .ops = &text_ops,
};

static const weir_component *const components[] = {&text_component};

static const weir_plugin plugin = {
    .struct_size = sizeof plugin,
    .abi_minor = WEIR_ABI_MINOR,
    .id = WEIR_PLUGIN_ID,
    .version = WEIR_PLUGIN_VERSION,
    .components = components,
    .component_count = 1,
};

WEIR_PLUGIN_ENTRY(plugin, WEIR_PLUGIN_REQUIRES_MINOR)
