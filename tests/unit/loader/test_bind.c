#include "base/mem.h"
#include "base/str.h"
#include "loader/loader.h"
#include "support.h"

/* ---- a host just large enough ---- */

typedef struct tiny_host {
    weir_host abi;
    char log[256];       /* last line */
    uint64_t done_token; /* of the last write_done */
    uint64_t flushed;    /* epoch of the last flush_done */
    int64_t allocated;   /* pieces of memory that are out */
} tiny_host;

static tiny_host host;

static void *host_alloc(const weir_host *h, uint64_t size) {
    (void)h;
    host.allocated++;
    return malloc(size);
}
static void host_free(const weir_host *h, void *memory) {
    (void)h;
    host.allocated -= memory != NULL;
    free(memory);
}
static void host_log(const weir_host *h, weir_ctx *ctx, uint32_t level, weir_str text) {
    (void)h, (void)ctx, (void)level;
    snprintf(host.log, sizeof host.log, "%.*s", STR_FMT(text));
}
static uint32_t host_log_level(const weir_host *h, weir_ctx *ctx) {
    (void)h, (void)ctx;
    return WEIR_LOG_INFO;
}
static int64_t host_time(const weir_host *h) {
    (void)h;
    return 4242;
}
static weir_error *host_error_new(const weir_host *h) {
    (void)h;
    return error_new();
}
static void host_error_set(const weir_host *h, weir_error *err, weir_status status, uint32_t flags,
                           weir_str text) {
    (void)h;
    (void)error_set(err, status, flags, "%.*s", STR_FMT(text));
}
static void host_error_detail(const weir_host *h, weir_error *err, const char *key,
                              weir_str value) {
    (void)h;
    error_detail(err, key, value);
}
static void host_error_free(const weir_host *h, weir_error *err) {
    (void)h;
    error_free(err);
}
static void write_done(weir_ctx *ctx, uint64_t token, const weir_result *result) {
    (void)ctx;
    assert_int_equal(result->status, WEIR_OK);
    host.done_token = token;
}
static void flush_done(weir_ctx *ctx, uint64_t epoch, weir_status status, const weir_error *error) {
    (void)ctx, (void)status, (void)error;
    host.flushed = epoch;
}
static const weir_host_task task_facet = {
    .struct_size = sizeof task_facet, .write_done = write_done, .flush_done = flush_done};

static const void *host_extension(const weir_host *h, const char *name) {
    (void)h;
    return strcmp(name, WEIR_HOST_TASK) == 0 ? &task_facet : NULL;
}

static int setup(void **state) {
    (void)state;
    host.abi = (weir_host){.struct_size = sizeof host.abi,
                           .abi_minor = WEIR_ABI_MINOR,
                           .name = "test",
                           .version = "0",
                           .get_extension = host_extension,
                           .mem_alloc = host_alloc,
                           .mem_free = host_free,
                           .log = host_log,
                           .log_level = host_log_level,
                           .mono_ns = host_time,
                           .wall_us = host_time,
                           .error_new = host_error_new,
                           .error_set = host_error_set,
                           .error_detail = host_error_detail,
                           .error_free = host_error_free};
    unsetenv("WEIR_PLUGIN_PATH");
    return 0;
}

static const bound_component *bind(registry *r, const char *path, uint32_t kind, const char *name,
                                   weir_error *err) {
    const bound_component *b = NULL;
    if (registry_add(r, path, NULL, err) != WEIR_OK) fail_msg("%s", error_text(err));
    const component_ref *c = registry_find(r, kind, str_of(name));
    assert_non_null(c);
    weir_status status = loader_bind(r, c, &host.abi, &b, err);
    assert_int_equal(status == WEIR_OK, b != NULL);
    return b;
}

#define GOOD FIXTURES "/good/sample.so"

static void test_source(void **state) {
    registry *r = registry_new();
    weir_error *err = error_new();
    weir_ctx ctx = {.struct_size = sizeof ctx, .host = &host.abi};
    (void)state;
    const bound_component *b = bind(r, GOOD, WEIR_KIND_SOURCE, "ticks", err);
    if (b == NULL) fail_msg("%s", error_text(err));
    assert_string_equal(host.log, "sample init");
    const weir_source_ops *ops = &b->ops.source;
    assert_int_equal(ops->struct_size, sizeof *ops);
    assert_int_equal(b->capabilities, WEIR_CAP_BOUNDED | WEIR_CAP_REPLAYABLE);
    assert_false(b->has_set_paused || b->has_snapshot || b->has_checkpoint_done || b->has_wakeup ||
                 b->has_validate);

    weir_create create = {.struct_size = sizeof create, .ctx = &ctx, .error = err};
    assert_int_equal(ops->create(&create), WEIR_OK);
    weir_poll poll = {.struct_size = sizeof poll, .error = err};
    assert_int_equal(ops->poll(create.self, &poll), WEIR_AGAIN);
    assert_int_equal(poll.next_ns, 4242);
    assert_int_equal(ops->poll(create.self, &poll), WEIR_END);
    assert_int_equal(ops->poll(create.self, &poll), WEIR_E_IO);
    assert_string_equal(error_text(err), "polled 3 times");
    /* Optional slots are callable all the same. */
    weir_pause pause = {.struct_size = sizeof pause};
    assert_int_equal(ops->set_paused(create.self, &pause), WEIR_E_UNSUPPORTED);
    weir_snapshot snapshot = {.struct_size = sizeof snapshot};
    assert_int_equal(ops->snapshot(create.self, &snapshot), WEIR_E_UNSUPPORTED);
    weir_checkpoint_done done = {.struct_size = sizeof done};
    assert_int_equal(ops->checkpoint_done(create.self, &done), WEIR_E_UNSUPPORTED);
    ops->wakeup(create.self);
    /* An extension of an older minor: what it lacks is zero. */
    weir_source_position position;
    assert_int_equal(loader_extension(ops->get_extension, create.self, WEIR_SOURCE_POSITION,
                                      &position, sizeof position),
                     WEIR_OK);
    assert_int_equal(position.struct_size, sizeof position);
    assert_non_null(position.to_text);
    assert_null(position.from_text);
    assert_int_equal(loader_extension(ops->get_extension, create.self, "weir.none/1", &position,
                                      sizeof position),
                     WEIR_E_UNSUPPORTED);
    assert_null(position.to_text);
    ops->destroy(create.self);
    assert_int_equal(host.allocated, 0);
    /* Bound once: the same answer. */
    const bound_component *again = NULL;
    assert_int_equal(
        loader_bind(r, registry_find(r, WEIR_KIND_SOURCE, STR("ticks")), &host.abi, &again, err),
        WEIR_OK);
    assert_ptr_equal(again, b);
    registry_free(r);
    assert_string_equal(host.log, "sample deinit");
    error_free(err);
}

static void test_other_kinds(void **state) {
    registry *r = registry_new();
    weir_error *err = error_new();
    weir_ctx ctx = {.struct_size = sizeof ctx, .host = &host.abi};
    weir_create create = {.struct_size = sizeof create, .ctx = &ctx, .error = err};
    (void)state;
    const bound_component *b = bind(r, GOOD, WEIR_KIND_SINK, "sum", err);
    const weir_sink_ops *sink = &b->ops.sink;
    assert_true(b->has_validate);
    assert_false(b->has_drive || b->has_wakeup);
    assert_int_equal(sink->create(&create), WEIR_OK);
    weir_write write = {.struct_size = sizeof write, .token = 77};
    assert_int_equal(sink->write(create.self, &write), WEIR_OK);
    assert_int_equal(host.done_token, 77);
    weir_flush flush = {.struct_size = sizeof flush, .epoch = 5};
    assert_int_equal(sink->flush(create.self, &flush), WEIR_OK);
    assert_int_equal(host.flushed, 5);
    weir_drive drive = {.struct_size = sizeof drive};
    assert_int_equal(sink->drive(create.self, &drive), WEIR_E_UNSUPPORTED);
    assert_null(sink->get_extension(create.self, WEIR_SINK_TWO_PHASE));
    /* The config facet is missing in this host: the SDK's stub says no. */
    weir_validate validate = {.struct_size = sizeof validate, .ctx = &ctx};
    assert_int_equal(b->component->validate(&validate), WEIR_E_INVALID_ARG);
    sink->destroy(create.self);

    b = bind(r, GOOD, WEIR_KIND_SERDE, "upper", err);
    weir_decode decode = {.struct_size = sizeof decode};
    weir_encode encode = {.struct_size = sizeof encode};
    assert_int_equal(b->ops.serde.decode(NULL, &decode), WEIR_E_UNSUPPORTED);
    assert_int_equal(b->ops.serde.encode(NULL, &encode), WEIR_OK);

    b = bind(r, GOOD, WEIR_KIND_TRANSFORM, "pass", err);
    weir_timers timers = {.struct_size = sizeof timers};
    assert_int_equal(b->ops.transform.on_timer(NULL, &timers), WEIR_E_UNSUPPORTED);
    registry_free(r);
    error_free(err);
}

static void test_reference(void **state) {
    (void)state;
    registry *r = registry_new();
    weir_error *err = error_new();
    weir_ctx ctx = {.struct_size = sizeof ctx, .host = &host.abi};
    const bound_component *b =
        bind(r, FIXTURES "/refer/refer.so", WEIR_KIND_REFERENCE, "echo", err);
    if (b == NULL) fail_msg("%s", error_text(err));
    assert_true(str_eq_z(b->note->form, "TEXT"));
    assert_string_equal(b->note->pattern.ptr, "^[a-z]+$");
    const weir_reference_ops *ops = &b->ops.reference;
    assert_int_equal(ops->struct_size, sizeof *ops);
    weir_create create = {.struct_size = sizeof create, .ctx = &ctx, .error = err};
    assert_int_equal(ops->create(&create), WEIR_OK);
    weir_resolve resolve = {.struct_size = sizeof resolve, .text = STR("abc")};
    assert_int_equal(ops->resolve(create.self, &resolve), WEIR_OK);
    assert_true(str_eq_z(resolve.bytes, "abc"));
    assert_int_equal(resolve.kind, WEIR_RESOLVED_VALUE);
    assert_null(ops->get_extension(create.self, WEIR_COMPONENT_CHECK));
    ops->destroy(create.self);
    registry_free(r);
    error_free(err);
}

/* Each plugin that breaks its word is refused with a text that says in what. */
static void test_broken(void **state) {
    static const struct {
        const char *file;
        uint32_t kind;
        const char *component, *text;
    } cases[] = {
        {"id", WEIR_KIND_SINK, "sum",
         "the id: \"dev.weir.test.sample\" and \"dev.weir.test.other\""},
        {"version", WEIR_KIND_SINK, "sum", "the version: \"1.2.3\" and \"9.9.9\""},
        {"count", WEIR_KIND_SINK, "sum", "the number of components: 4 and 3"},
        {"capability", WEIR_KIND_SINK, "sum",
         "sink sum: its note and its table disagree about cap"},
        {"requirement", WEIR_KIND_SINK, "sum", "requires capabilities 0x10000000000"},
        {"name", WEIR_KIND_SERDE, "upper", "serde upper: stands in its note but not in its table"},
        {"slot", WEIR_KIND_SERDE, "upper", "lacks the required operation decode or encode"},
        {"resolve", WEIR_KIND_REFERENCE, "echo", "lacks the required operation resolve"},
        {"init", WEIR_KIND_SINK, "sum", "init failed (io): the flux is missing"},
        {"entry", WEIR_KIND_SINK, "sum", "refuses this host (incompatible): it was built with ABI"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        registry *r = registry_new();
        weir_error *err = error_new();
        char path[512];
        snprintf(path, sizeof path, "%s/broken/broken_%s.so", FIXTURES, cases[i].file);
        assert_null(bind(r, path, cases[i].kind, cases[i].component, err));
        assert_contains(error_text(err), cases[i].text);
        assert_contains(error_text(err), path);
        registry_free(r);
        error_free(err);
    }
}

/* A file that is replaced after its note was checked is not loaded unchecked. */
static void test_replaced(void **state) {
    char *folder = make_folder();
    char path[512];
    size_t size;
    char *bytes = read_whole(GOOD, &size);
    registry *r = registry_new();
    weir_error *err = error_new();
    const bound_component *b = NULL;
    (void)state;
    snprintf(path, sizeof path, "%s/x.so", folder);
    write_whole(path, bytes, size);
    assert_int_equal(registry_add(r, path, NULL, err), WEIR_OK);
    bytes[size - 1] ^= 1;
    assert_int_equal(unlink(path), 0);
    write_whole(path, bytes, size);
    const component_ref *c = registry_find(r, WEIR_KIND_SINK, STR("sum"));
    assert_int_equal(loader_bind(r, c, &host.abi, &b, err), WEIR_E_INVALID_STATE);
    assert_contains(error_text(err), "changed since its description was read");
    registry_free(r);
    error_free(err);
    free(bytes);
    remove_folder(folder);
}

/* A fine note in a file that the dynamic linker cannot use. */
static void test_unloadable(void **state) {
    char *folder = make_folder();
    char path[512];
    size_t size;
    char *bytes = read_whole(GOOD, &size);
    registry *r = registry_new();
    weir_error *err = error_new();
    const bound_component *b = NULL;
    (void)state;
    /* A library name in the string table becomes one that does not exist. */
    for (size_t at = 0; at + 10 < size; at++) {
        if (memcmp(bytes + at, "\0libc.so.6", 11) == 0) memcpy(bytes + at, "\0libQ.so.6", 11);
    }
    snprintf(path, sizeof path, "%s/x.so", folder);
    write_whole(path, bytes, size);
    assert_int_equal(registry_add(r, path, NULL, err), WEIR_OK);
    const component_ref *c = registry_find(r, WEIR_KIND_SINK, STR("sum"));
    assert_int_equal(loader_bind(r, c, &host.abi, &b, err), WEIR_E_INCOMPATIBLE);
    assert_contains(error_text(err), "cannot be loaded: libQ.so.6");
    registry_free(r);
    error_free(err);
    free(bytes);
    remove_folder(folder);
}

/* Two plugins, two versions of one static library with global symbols: each sees its own code and
 * its own data. */
static void test_bundled_libraries(void **state) {
    registry *r = registry_new();
    weir_error *err = error_new();
    const bound_component *b[2];
    (void)state;
    b[0] = bind(r, FIXTURES "/bundle/bundle1.so", WEIR_KIND_SINK, "bundle1", err);
    b[1] = bind(r, FIXTURES "/bundle/bundle2.so", WEIR_KIND_SINK, "bundle2", err);
    assert_true(b[0] != NULL && b[1] != NULL);
    assert_string_equal(b[0]->ops.sink.get_extension(NULL, "test.version"), "bundled 1");
    assert_string_equal(b[1]->ops.sink.get_extension(NULL, "test.version"), "bundled 2");
    for (uint32_t round = 1; round < 4; round++) {
        for (uint32_t i = 0; i < 2; i++) {
            weir_write write = {.struct_size = sizeof write};
            assert_int_equal(b[i]->ops.sink.write(NULL, &write), WEIR_OK);
            assert_int_equal(write.taken, 100 * (i + 1) + round);
        }
    }
    registry_free(r);
    error_free(err);
}

static void test_second_host(void **state) {
    registry *r = registry_new();
    weir_error *err = error_new();
    const bound_component *b = bind(r, GOOD, WEIR_KIND_SINK, "sum", err);
    static weir_host other;
    const bound_component *second = NULL;
    (void)state;
    assert_non_null(b);
    other = host.abi;
    const component_ref *c = registry_find(r, WEIR_KIND_SINK, STR("sum"));
    assert_int_equal(loader_bind(r, c, &other, &second, err), WEIR_E_INVALID_STATE);
    /* With a registry of its own another host is welcome, in one process. */
    registry *r2 = registry_new();
    assert_int_equal(registry_add(r2, GOOD, NULL, err), WEIR_OK);
    c = registry_find(r2, WEIR_KIND_SINK, STR("sum"));
    assert_int_equal(loader_bind(r2, c, &other, &second, err), WEIR_OK);
    registry_free(r2);
    registry_free(r);
    error_free(err);
}

/* Binding with the n-th allocation failing, for all n: bound, or a clean refusal. */
static void test_failing_memory(void **state) {
    bool failed = true;
    (void)state;
    for (int64_t n = 1; failed; n++) {
        registry *r = registry_new();
        weir_error *err = error_new();
        const bound_component *b = NULL;
        assert_true(n < 1000);
        assert_int_equal(registry_add(r, GOOD, NULL, err), WEIR_OK);
        const component_ref *c = registry_find(r, WEIR_KIND_SINK, STR("sum"));
        (void)mem_test_fail_at(n, false);
        weir_status status = loader_bind(r, c, &host.abi, &b, err);
        failed = mem_test_fail_at(0, false);
        assert_true(status == WEIR_OK ? b != NULL : status == WEIR_E_NOMEM && b == NULL);
        registry_free(r);
        error_free(err);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_source),
        cmocka_unit_test(test_other_kinds),
        cmocka_unit_test(test_reference),
        cmocka_unit_test(test_broken),
        cmocka_unit_test(test_replaced),
        cmocka_unit_test(test_unloadable),
        cmocka_unit_test(test_bundled_libraries),
        cmocka_unit_test(test_second_host),
        cmocka_unit_test(test_failing_memory),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
