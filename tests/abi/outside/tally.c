#include <weir/json.h>
#include <weir/sdk.h>

#include "weir_options_tally.h"

typedef struct tally {
    weir_ctx *ctx;
    char *member;
} tally;

static weir_status create(weir_create *args) {
    tally *t = weir_zalloc(args->ctx, sizeof *t);
    if (t == NULL) return WEIR_E_NOMEM;
    t->ctx = args->ctx;
    t->member = weir_str_dup(args->ctx, weir_opt_str(args->ctx, OPT_TALLY_MEMBER));
    args->self = t;
    return WEIR_OK;
}

static void destroy(void *self) {
    tally *t = self;
    weir_free(t->ctx, t->member);
    weir_free(t->ctx, t);
}

static weir_status open_tally(void *self, weir_open *args) {
    (void)self, (void)args;
    return WEIR_OK;
}

static weir_status write_tally(void *self, weir_write *args) {
    tally *t = self;
    const weir_rows *rows = args->request->rows;
    for (uint32_t i = 0; i < rows->count; i++) {
        weir_str value = {rows->value_ptr[i], rows->value_len[i]};
        weir_json_fault fault;
        weir_json_doc *doc = weir_json_read(value, 0, &fault);
        if (doc == NULL) {
            return weir_fail(t->ctx, args->error, WEIR_E_DATA, WEIR_ERR_PER_RECORD,
                             "record %u: column %u: %s", i, fault.column, fault.text);
        }
        weir_count(t->ctx, "tally_total",
                   (uint64_t)weir_json_get_i64(weir_json_root(doc), t->member, 0));
        weir_json_free(doc);
    }
    args->taken = rows->count;
    weir_write_ok(t->ctx, args->token);
    return WEIR_OK;
}

static weir_status flush(void *self, weir_flush *args) {
    weir_flush_done(((tally *)self)->ctx, args->epoch, WEIR_OK, NULL);
    return WEIR_OK;
}

static void cancel(void *self) {
    (void)self;
}

static weir_status close_tally(void *self, weir_close *args) {
    (void)self, (void)args;
    return WEIR_OK;
}

static const weir_sink_ops ops = {
    .struct_size = sizeof ops,
    .create = create,
    .destroy = destroy,
    .open = open_tally,
    .write = write_tally,
    .flush = flush,
    .cancel = cancel,
    .close = close_tally,
};

static const weir_component sink = {
    .struct_size = sizeof sink, .kind = WEIR_KIND_SINK, .name = "tally", .ops = &ops};
static const weir_component *const components[] = {&sink};
static const weir_plugin plugin = {
    .struct_size = sizeof plugin,
    .abi_minor = WEIR_ABI_MINOR,
    .id = WEIR_PLUGIN_ID,
    .version = WEIR_PLUGIN_VERSION,
    .components = components,
    .component_count = 1,
};

WEIR_PLUGIN_ENTRY(plugin, WEIR_PLUGIN_REQUIRES_MINOR)
