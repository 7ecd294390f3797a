/*
 * A small host, built with the headers of one ABI version or another, and with the loader built
 * with the same ones. It loads a sample plugin, runs each of its components, and checks that what
 * both sides know arrives, that what only one side knows is zero to the other, and that nobody
 * looks beyond the end of anything.
 *
 *   host PLUGIN.so                 runs it
 *   host PLUGIN.so refused TEXT    expects that reading its note fails with TEXT
 *
 * Arguments and tables stand at the end of a page behind which nothing is mapped: a reader that
 * believes its own sizeof instead of struct_size dies here.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/str.h"
#include "loader/loader.h"
#include "loader/version.h"
#include "observed.h"

#define CHECK(e)                                                                                   \
    do {                                                                                           \
        if (!(e)) {                                                                                \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #e);                                \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

/* ---- memory with an end ---- */

/* `size` zeroed bytes that end where a page ends that nobody may touch. */
static void *at_edge(size_t size) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t whole = (size + page - 1) / page * page;
    char *memory =
        mmap(NULL, whole + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    CHECK(mprotect(memory + whole, page, PROT_NONE) == 0);
    return memory + whole - size;
}

#ifdef NEXT
static uint64_t host_slot(uint64_t value) {
    return value + 1;
}
#define GROW(p) ((p)->next_field = NEXT_FIELD_OF_HOST, (p)->next_slot = host_slot)
#else
#define GROW(p) ((void)0)
#endif

/* A struct of type `type` with its size and growth filled in. */
#define NEW(type, name)                                                                            \
    type *name = at_edge(sizeof(type));                                                            \
    name->struct_size = (uint32_t)sizeof(type);                                                    \
    GROW(name)

/* Our copy of a struct of the plugin's, of its size or ours, whichever is less. */
#define SHADOW(type, name, theirs)                                                                 \
    type name;                                                                                     \
    memset(&name, 0, sizeof name);                                                                 \
    memcpy(&name, theirs, (theirs)->struct_size < sizeof name ? (theirs)->struct_size : sizeof name)

static uint32_t plugin_minor; /* of the headers the plugin was built with */
static bool plugin_is_next;   /* these are the synthetic next minor's */

/* What the plugin put into the members of the next minor, as far as both sides know them. */
#ifdef NEXT
#define CHECK_GROWTH(s)                                                                            \
    do {                                                                                           \
        CHECK((s).next_field == (plugin_is_next ? NEXT_FIELD_OF_PLUGIN : 0));                      \
        CHECK(((s).next_slot != NULL) == plugin_is_next);                                          \
        if (plugin_is_next) CHECK((s).next_slot(21) == 42);                                        \
    } while (0)
#else
#define CHECK_GROWTH(s) ((void)(s))
#endif

/* ---- services ---- */

static weir_host *host;
static weir_host_config *config;
static weir_host_task *task;
static weir_host_state *state_facet;
static weir_host_tape *tape;
static unsigned done, flushed, blobs, failures, emitted, rows;
static int64_t allocated;
static weir_value nodes[8];

static void *host_alloc(const weir_host *h, uint64_t size) {
    CHECK(h == host); /* the original handle, never a shadow */
    allocated++;
    return malloc((size_t)size);
}
static void host_free(const weir_host *h, void *memory) {
    CHECK(h == host);
    allocated -= memory != NULL;
    free(memory);
}
static weir_status get_i64(weir_ctx *ctx, const char *key, int64_t *out) {
    CHECK(ctx->host == host);
    CHECK(strcmp(key, "count") == 0);
    *out = 2;
    return WEIR_OK;
}
static void write_done(weir_ctx *ctx, uint64_t token, const weir_result *result) {
    SHADOW(weir_result, r, result);
    CHECK(ctx->host == host && token == 11);
    CHECK(r.failed_count == 1 && r.failed_index[0] == 1);
    CHECK(r.failed_status[0] == WEIR_E_THROTTLED && r.retry_after_ms == 9);
    CHECK_GROWTH(r);
    done++;
}
static void flush_done(weir_ctx *ctx, uint64_t epoch, weir_status status, const weir_error *error) {
    CHECK(ctx->host == host && epoch == 4 && status == WEIR_OK && error == NULL);
    flushed++;
}
static weir_status state_write(weir_writer *writer, const weir_blob *blob) {
    SHADOW(weir_blob, b, blob);
    CHECK(writer == (weir_writer *)&blobs);
    CHECK(b.scope == WEIR_SCOPE_BROADCAST && b.bytes.len == 5);
    CHECK_GROWTH(b);
    blobs++;
    return WEIR_OK;
}
static weir_status tape_reserve(weir_tape_builder *t, uint32_t n, weir_tape_room *out) {
    CHECK(t == (weir_tape_builder *)nodes && n == 1);
    /* Written into the plugin's struct, within its size. */
    CHECK(WEIR_HAS(weir_tape_room, out, nodes));
    out->capacity = 1;
    out->nodes = &nodes[rows];
    return WEIR_OK;
}
static weir_status tape_row(weir_tape_builder *t, uint32_t n, uint32_t origin) {
    (void)t;
    CHECK(n == 1 && origin == rows);
    rows++;
    return WEIR_OK;
}
static const void *get_extension(const weir_host *h, const char *name) {
    CHECK(h == host);
    if (strcmp(name, WEIR_HOST_CONFIG) == 0) return config;
    if (strcmp(name, WEIR_HOST_TASK) == 0) return task;
    if (strcmp(name, WEIR_HOST_STATE) == 0) return state_facet;
    return strcmp(name, WEIR_HOST_TAPE) == 0 ? tape : NULL;
}

static void make_host(void) {
    NEW(weir_host, h);
    NEW(weir_host_config, c);
    NEW(weir_host_task, t);
    NEW(weir_host_state, s);
    NEW(weir_host_tape, p);
    h->abi_minor = WEIR_ABI_MINOR;
    h->name = "matrix";
    h->version = "0";
    h->get_extension = get_extension;
    h->mem_alloc = host_alloc;
    h->mem_free = host_free;
    c->get_i64 = get_i64;
    t->write_done = write_done;
    t->flush_done = flush_done;
    s->write = state_write;
    p->reserve = tape_reserve;
    p->row = tape_row;
    host = h;
    config = c;
    task = t;
    state_facet = s;
    tape = p;
}

/* ---- running the components ---- */

static unsigned grown_calls; /* since the last look: calls whose arguments we built in our size */

static const bound_component *bind(registry *r, uint32_t kind, const char *name) {
    weir_error *err = error_new();
    const bound_component *b = NULL;
    const component_ref *c = registry_find(r, kind, str_of(name));
    CHECK(c != NULL);
    if (loader_bind(r, c, host, &b, err) != WEIR_OK) {
        fprintf(stderr, "%s\n", error_text(err));
        exit(1);
    }
    error_free(err);
    CHECK_GROWTH(*b->component);
    return b;
}

static weir_ctx *make_ctx(void) {
    NEW(weir_ctx, ctx);
    ctx->host = host;
    return ctx;
}

static void *make_instance(weir_status (*create)(weir_create *)) {
    NEW(weir_create, args);
    args->ctx = make_ctx();
    CHECK(create(args) == WEIR_OK);
    CHECK(args->self != NULL);
    grown_calls++;
    return args->self;
}

static void open_instance(weir_status (*open)(void *, weir_open *), void *self) {
    NEW(weir_open, args);
    NEW(weir_limits, limits);
    limits->request_records = 500;
    args->role = WEIR_ROLE_TASK;
    args->limits = limits;
#if WEIR_ABI_MINOR >= 10
    args->run_id = STR(RUN_ID);
#endif
    CHECK(open(self, args) == WEIR_OK);
    CHECK(limits->request_records == 50);
    grown_calls += 2;
}

static void close_instance(weir_status (*close)(void *, weir_close *), void *self) {
    NEW(weir_close, args);
    args->mode = WEIR_CLOSE_DRAIN;
    CHECK(close(self, args) == WEIR_OK);
    grown_calls++;
}

static weir_rows *make_rows(void) {
    static const char *const value_ptr[] = {"a", "bc", "def"};
    static const uint32_t value_len[] = {1, 2, 3};
    NEW(weir_rows, r);
    r->count = 3;
    r->value_ptr = value_ptr;
    r->value_len = value_len;
    r->value_bytes = 6;
    return r;
}

static void run_source(registry *r) {
    const bound_component *b = bind(r, WEIR_KIND_SOURCE, "counter");
    const weir_source_ops *ops = &b->ops.source;
    CHECK_GROWTH(*ops);
    CHECK(b->has_snapshot && !b->has_set_paused);
    void *self = make_instance(ops->create);
    open_instance(ops->open, self);
    NEW(weir_assign, assign);
    CHECK(ops->assign(self, assign) == WEIR_OK);
    for (int i = 0; i < 2; i++) {
        NEW(weir_poll, poll);
        CHECK(ops->poll(self, poll) == WEIR_EVENT);
        SHADOW(weir_event, event, poll->event);
        CHECK(event.kind == WEIR_EVENT_POSITION && event.lag_ms == 77);
        CHECK(str_eq_z(event.position, "position"));
        CHECK_GROWTH(event);
    }
    NEW(weir_poll, last);
    CHECK(ops->poll(self, last) == WEIR_END);
    NEW(weir_snapshot, snapshot);
    snapshot->writer = (weir_writer *)&blobs;
    CHECK(ops->snapshot(self, snapshot) == WEIR_OK);
    CHECK(blobs == 1);
    NEW(weir_pause, pause);
    CHECK(ops->set_paused(self, pause) == WEIR_E_UNSUPPORTED);
    weir_source_position positions;
    CHECK(loader_extension(ops->get_extension, self, WEIR_SOURCE_POSITION, &positions,
                           sizeof positions) == WEIR_OK);
    CHECK_GROWTH(positions);
    NEW(weir_position_text, text);
    text->position = STR("42");
    CHECK(positions.to_text(self, text) == WEIR_OK);
    CHECK(str_eq_z(text->text, "42"));
    close_instance(ops->close, self);
    ops->destroy(self);
    grown_calls += 6;
}

static void run_sink(registry *r) {
    const bound_component *b = bind(r, WEIR_KIND_SINK, "drain");
    const weir_sink_ops *ops = &b->ops.sink;
    CHECK_GROWTH(*ops);
    void *self = make_instance(ops->create);
    open_instance(ops->open, self);
    NEW(weir_request, request);
    request->rows = make_rows();
    NEW(weir_write, write);
    write->request = request;
    write->token = 11;
    CHECK(ops->write(self, write) == WEIR_OK);
    CHECK(write->taken == 3 && done == 1);
    NEW(weir_flush, flush);
    flush->epoch = 4;
    CHECK(ops->flush(self, flush) == WEIR_OK);
    CHECK(flushed == 1);
    close_instance(ops->close, self);
    ops->destroy(self);
    grown_calls += 4;
}

static weir_batch *make_batch(void) {
    NEW(weir_batch, batch);
    batch->rows = make_rows();
    return batch;
}

static void run_serde(registry *r) {
    const bound_component *b = bind(r, WEIR_KIND_SERDE, "lengths");
    const weir_serde_ops *ops = &b->ops.serde;
    CHECK_GROWTH(*ops);
    void *self = make_instance(ops->create);
    open_instance(ops->open, self);
    NEW(weir_decode, decode);
    decode->batch = make_batch();
    decode->tape = (weir_tape_builder *)nodes;
    CHECK(ops->decode(self, decode) == WEIR_OK);
    CHECK(rows == 3 && nodes[2].as.u64 == 3);
    NEW(weir_encode, encode);
    CHECK(ops->encode(self, encode) == WEIR_E_UNSUPPORTED);
    close_instance(ops->close, self);
    ops->destroy(self);
    grown_calls += 2;
}

static weir_apply *under_way;

static weir_status emit(weir_apply *args, uint32_t port, const weir_batch *batch) {
    CHECK(args == under_way && port == 0 && batch == args->batch);
    emitted++;
    return WEIR_OK;
}
static void fail(weir_apply *args, uint32_t record, weir_status status, weir_str text) {
    CHECK(args == under_way && record == 0 && status == WEIR_E_DATA && str_eq_z(text, "bad"));
    failures++;
}

static void run_transform(registry *r, observed *seen) {
    const bound_component *b = bind(r, WEIR_KIND_TRANSFORM, "hand");
    const weir_transform_ops *ops = &b->ops.transform;
    CHECK_GROWTH(*ops);
    void *self = make_instance(ops->create);
    open_instance(ops->open, self);
    NEW(weir_apply, apply);
    apply->batch = make_batch();
    apply->emit = emit;
    apply->fail = fail;
    under_way = apply;
    CHECK(ops->apply(self, apply) == WEIR_OK);
    CHECK(emitted == 1 && failures == 1);
    NEW(weir_timers, timers);
    CHECK(ops->on_timer(self, timers) == WEIR_E_UNSUPPORTED);
    const observed *theirs = ops->get_extension(self, OBSERVED_EXTENSION);
    CHECK(theirs != NULL && theirs->struct_size == sizeof *seen);
    close_instance(ops->close, self);
    *seen = *theirs;
    ops->destroy(self);
    grown_calls += 1;
}

int main(int argc, char **argv) {
    weir_error *err = error_new();
    registry *r = registry_new();
    observed seen = {0};
    CHECK(argc >= 2 && err != NULL && r != NULL);
    make_host();
    weir_status status = registry_add(r, argv[1], NULL, err);
    if (argc == 4) {
        CHECK(status == WEIR_E_INCOMPATIBLE);
        if (strstr(error_text(err), argv[3]) == NULL) {
            fprintf(stderr, "\"%s\" does not contain \"%s\"\n", error_text(err), argv[3]);
            return 1;
        }
        printf("%s\n", error_text(err));
        registry_free(r);
        error_free(err);
        return 0;
    }
    if (status != WEIR_OK) {
        fprintf(stderr, "%s\n", error_text(err));
        return 1;
    }
    const note *n = plugin_ref_note(registry_plugin(r, 0));
    uint32_t next_minor = 0;
    CHECK(version_abi_minor(n->abi_built_with, &plugin_minor));
    CHECK(version_abi_minor(STR(NEXT_TEXT), &next_minor));
    plugin_is_next = plugin_minor == next_minor;
    run_source(r);
    run_sink(r);
    run_serde(r);
    run_transform(r, &seen);
    CHECK(allocated == 0);
    CHECK(seen.host_minor == WEIR_ABI_MINOR);
    CHECK(seen.calls == grown_calls);
#ifdef NEXT
    bool both = plugin_is_next;
#else
    bool both = false;
#endif
    CHECK(seen.grown == (both ? grown_calls : 0));
    CHECK(seen.field_sum == (both ? (uint64_t)NEXT_FIELD_OF_HOST * grown_calls : 0));
    CHECK(seen.slot_sum == (both ? (uint64_t)2 * grown_calls : 0));
    CHECK(seen.host_grown == (both ? 5u : 0u));
    /* What a real version added: 0.10 the id of the run. One open of each kind. */
    bool both_10 = WEIR_ABI_MINOR >= 10 && plugin_minor >= 10;
    CHECK(seen.plugin_minor == plugin_minor);
    CHECK(seen.run_ids == (both_10 ? 4u : 0u));
    printf("plugin of ABI %.*s on a host of ABI %s: %u calls\n", STR_FMT(n->abi_built_with),
           WEIR_ABI_TEXT, seen.calls);
    registry_free(r);
    error_free(err);
    return 0;
}
