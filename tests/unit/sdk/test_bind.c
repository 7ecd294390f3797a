/*
 * Binding against hosts of every age: a host is simulated as older by the struct_size it gives.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "weir/sdk.h"

static const weir_component *const no_components[] = {NULL};
static const weir_plugin plugin = {.struct_size = sizeof plugin,
                                   .abi_minor = WEIR_ABI_MINOR,
                                   .id = "a.b",
                                   .version = "1.0.0",
                                   .components = no_components};

static uint64_t reserved_bytes;
static weir_status reserve(weir_ctx *ctx, uint64_t bytes) {
    (void)ctx;
    reserved_bytes += bytes;
    return WEIR_E_NOMEM;
}
static weir_host_memory memory_facet = {.struct_size = sizeof memory_facet, .reserve = reserve};

static const void *extension(const weir_host *host, const char *name) {
    (void)host;
    return strcmp(name, WEIR_HOST_MEMORY) == 0 ? &memory_facet : NULL;
}
static void *alloc(const weir_host *host, uint64_t size) {
    (void)host;
    return malloc((size_t)size);
}

#define HOST(...)                                                                                  \
    {                                                                                              \
        .struct_size = sizeof(weir_host), .abi_minor = WEIR_ABI_MINOR, .get_extension = extension, \
        .mem_alloc = alloc, __VA_ARGS__                                                            \
    }

static void test_entry(void **state) {
    static const weir_host host = HOST(.name = "one");
    const weir_plugin *out = NULL;
    (void)state;
    assert_int_equal(weir_sdk_entry(&host, &plugin, WEIR_ABI_MINOR, &out), WEIR_OK);
    assert_ptr_equal(out, &plugin);
    assert_int_equal(weir_sdk_entry(&host, &plugin, WEIR_ABI_MINOR, &out), WEIR_OK); /* again */
    assert_int_equal(weir_sdk_entry(NULL, &plugin, 0, &out), WEIR_E_INVALID_ARG);
    assert_int_equal(weir_sdk_entry(&host, NULL, 0, &out), WEIR_E_INVALID_ARG);
    assert_int_equal(weir_sdk_entry(&host, &plugin, 0, NULL), WEIR_E_INVALID_ARG);
    assert_int_equal(weir_sdk_entry(&host, &plugin, WEIR_ABI_MINOR + 1, &out), WEIR_E_INCOMPATIBLE);
    assert_null(out);
    weir_ctx ctx = {.struct_size = sizeof ctx, .host = &host};
    const weir_api *api = weir_api_of(&ctx);
    assert_ptr_equal(api->handle, &host);
    assert_string_equal(api->host.name, "one");
    assert_int_equal(api->memory.reserve(&ctx, 7), WEIR_E_NOMEM);
    assert_int_equal(reserved_bytes, 7);
}

/* A release refuses plugins that were built with a draft of its major. */
static void test_release_refuses_drafts(void **state) {
    static weir_host host = HOST(.name = "release");
    const weir_plugin *out = NULL;
    (void)state;
    host.abi_minor = 1000;
    weir_status expected = WEIR_ABI_MINOR < 1000 ? WEIR_E_INCOMPATIBLE : WEIR_OK;
    assert_int_equal(weir_sdk_entry(&host, &plugin, WEIR_ABI_MINOR, &out), expected);
}

/* A host that ends after each of its slots: what it has is used, the rest are stubs, and every slot
 * of every facet can be called. */
static void test_old_host(void **state) {
    static weir_host host = HOST(.name = "old");
    (void)state;
    host.struct_size = offsetof(weir_host, mem_alloc); /* nothing beyond get_extension */
    weir_ctx ctx = {.struct_size = sizeof ctx, .host = &host};
    const weir_api *api = weir_api_of(&ctx); /* binds by itself, without entry */
    assert_ptr_equal(api->handle, &host);
    assert_int_equal(api->host.struct_size, sizeof(weir_host));
    assert_ptr_equal(api->host.get_extension, extension);
    assert_ptr_not_equal(api->host.mem_alloc, alloc);
    assert_null(weir_alloc(&ctx, 1));
    assert_null(weir_zalloc(&ctx, 1));
    assert_null(weir_str_dup(&ctx, weir_str_of("x")));
    weir_free(&ctx, NULL);
    assert_int_equal(weir_mono_ns(&ctx), 0);
    weir_log(&ctx, WEIR_LOG_ERROR, "nobody hears %d", 1);
    assert_int_equal(weir_fail(&ctx, NULL, WEIR_E_IO, 0, "x"), WEIR_E_IO);
    weir_fail_hint(&ctx, NULL, "x");
    assert_null(weir_error_new(&ctx));
}

/* No pointer of the shadow may be NULL: it is walked as words from its first slot on. */
static void assert_full(const void *table, size_t size, size_t head) {
    for (size_t at = head; at < size; at += sizeof(void *)) {
        void *slot;
        memcpy(&slot, (const char *)table + at, sizeof slot);
        if (slot == NULL) fail_msg("slot at offset %zu of %zu is empty", at, size);
    }
}

static void test_no_slot_is_empty(void **state) {
    static const weir_host host = HOST(.name = "bare");
    weir_ctx ctx = {.struct_size = sizeof ctx, .host = &host};
    (void)state;
    const weir_api *api = weir_api_of(&ctx);
    assert_full(&api->host, sizeof api->host, offsetof(weir_host, get_extension));
    assert_full(&api->config, sizeof api->config, 8);
    assert_full(&api->batch, sizeof api->batch, 8);
    assert_full(&api->tape, sizeof api->tape, 8);
    assert_full(&api->task, sizeof api->task, 8);
    assert_full(&api->state, sizeof api->state, 8);
    assert_full(&api->format, sizeof api->format, 8);
    assert_full(&api->metrics, sizeof api->metrics, 8);
    assert_full(&api->random, sizeof api->random, 8);
    assert_full(&api->memory, sizeof api->memory, 8);
}

static void test_stubs_answer(void **state) {
    static const weir_host host = HOST(.name = "stubs");
    weir_ctx ctx = {.struct_size = sizeof ctx, .host = &host};
    const weir_api *api = weir_api_of(&ctx);
    const weir_column *column;
    weir_str s = {"", 0};
    uint64_t n;
    char byte;
    (void)state;
    assert_int_equal(api->config.secret(&ctx, "k", &byte, 1, &n), WEIR_E_UNSUPPORTED);
    assert_int_equal(api->config.template_column(&ctx, NULL, "k", NULL, &column),
                     WEIR_E_UNSUPPORTED);
    assert_int_equal(api->config.base_dir(&ctx, &s), WEIR_E_UNSUPPORTED);
    assert_null(api->batch.begin(&ctx, 1, 0));
    assert_int_equal(api->batch.reserve(NULL, 1, NULL), WEIR_E_UNSUPPORTED);
    assert_int_equal(api->batch.commit(NULL, 1), WEIR_E_UNSUPPORTED);
    assert_int_equal(api->batch.header(NULL, s, s), WEIR_E_UNSUPPORTED);
    assert_int_equal(api->batch.meta(NULL, NULL), WEIR_E_UNSUPPORTED);
    assert_null(api->batch.alloc(NULL, 1));
    assert_int_equal(api->batch.attach(NULL, NULL, NULL, 0), WEIR_E_UNSUPPORTED);
    assert_null(api->batch.seal(NULL, NULL));
    api->batch.abandon(NULL);
    api->batch.retain(NULL);
    api->batch.release(NULL);
    assert_null(api->batch.select(&ctx, NULL, NULL, 0));
    assert_null(api->batch.segment_alloc(&ctx, 1, &n));
    api->batch.segment_free(NULL);
    assert_int_equal(api->tape.reserve(NULL, 1, NULL), WEIR_E_UNSUPPORTED);
    assert_int_equal(api->tape.row(NULL, 1, 0), WEIR_E_UNSUPPORTED);
    assert_int_equal(api->tape.row_with_schema(NULL, 1, 0, NULL), WEIR_E_UNSUPPORTED);
    assert_null(api->tape.alloc(NULL, 1));
    assert_null(api->tape.schema_new(&ctx, s, s, s));
    api->tape.schema_retain(NULL);
    api->tape.schema_release(NULL);
    assert_int_equal(api->tape.schema_text(NULL).len, 0);
    weir_wake(&ctx);
    weir_write_ok(&ctx, 1);
    weir_flush_done(&ctx, 1, WEIR_OK, NULL);
    api->task.commit_done(&ctx, 1, NULL, 0, NULL);
    api->task.split_idle(&ctx, s, 1);
    assert_int_equal(api->task.split_add(NULL, NULL), WEIR_E_UNSUPPORTED);
    assert_int_equal(api->state.write(NULL, NULL), WEIR_E_UNSUPPORTED);
    assert_int_equal(api->state.put(&ctx, "k", s), WEIR_E_UNSUPPORTED);
    assert_int_equal(api->state.remove(&ctx, "k"), WEIR_E_UNSUPPORTED);
    assert_int_equal(api->state.timer_set(&ctx, 0, 0), WEIR_E_UNSUPPORTED);
    assert_int_equal(api->format.get(&ctx, NULL), WEIR_E_UNSUPPORTED);
    weir_count(&ctx, "c", 1);
    api->metrics.gauge_set(&ctx, "g", 1);
    assert_int_equal(api->random.u64(&ctx), 0);
    assert_int_equal(api->random.bytes(&ctx, &byte, 1), WEIR_E_UNSUPPORTED);
    api->memory.release(&ctx, 1);
}

static void test_without_host(void **state) {
    weir_ctx orphan = {.struct_size = sizeof orphan, .host = NULL};
    (void)state;
    assert_null(weir_alloc(&orphan, 1));
    assert_int_equal(weir_opt_i64(&orphan, "k"), 0);
    assert_non_null(weir_api_of(NULL)); /* while loading: the first host */
}

/* Many threads bind many hosts at once: each finds its own. The last hosts find no room. */
static weir_host crowd[16];

static void *bind_all(void *opaque) {
    uintptr_t *bound = opaque;
    for (unsigned i = 0; i < 16; i++) {
        const weir_plugin *out = NULL;
        weir_status status = weir_sdk_entry(&crowd[i], &plugin, 0, &out);
        weir_ctx ctx = {.struct_size = sizeof ctx, .host = &crowd[i]};
        const weir_api *api = weir_api_of(&ctx);
        if (status == WEIR_OK && api->handle == &crowd[i]) (*bound)++;
        if (status == WEIR_E_NOMEM && api->handle != NULL) *bound += 1000;
    }
    return NULL;
}

static void test_crowd(void **state) {
    pthread_t threads[4];
    uintptr_t bound[4] = {0};
    (void)state;
    for (unsigned i = 0; i < 16; i++) {
        static const weir_host model = HOST(.name = "crowd");
        crowd[i] = model;
    }
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, bind_all, &bound[i]), 0);
    }
    for (unsigned i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < 4; i++) assert_int_equal(bound[i], bound[0]);
    assert_in_range(bound[0], 1, 8);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_entry),        cmocka_unit_test(test_release_refuses_drafts),
        cmocka_unit_test(test_old_host),     cmocka_unit_test(test_no_slot_is_empty),
        cmocka_unit_test(test_stubs_answer), cmocka_unit_test(test_without_host),
        cmocka_unit_test(test_crowd),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
