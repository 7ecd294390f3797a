/*
 * Loads the plugin that was built outside of the tree, feeds it three records, checks the sum it
 * reports, and what it says about a record that is no JSON.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "loader/loader.h"

#define CHECK(e)                                                                                   \
    do {                                                                                           \
        if (!(e)) {                                                                                \
            fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #e, error_text(err));           \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static weir_error *err;
static uint64_t total;
static uint64_t completed;

static void *host_alloc(const weir_host *h, uint64_t size) {
    (void)h;
    return malloc((size_t)size);
}
static void host_free(const weir_host *h, void *memory) {
    (void)h;
    free(memory);
}
static void host_error_set(const weir_host *h, weir_error *e, weir_status status, uint32_t flags,
                           weir_str text) {
    (void)h;
    (void)error_set(e, status, flags, "%.*s", STR_FMT(text));
}
static weir_status get_str(weir_ctx *ctx, const char *key, weir_str *out) {
    (void)ctx;
    CHECK(strcmp(key, "member") == 0);
    *out = STR("n");
    return WEIR_OK;
}
static void write_done(weir_ctx *ctx, uint64_t token, const weir_result *result) {
    (void)ctx;
    CHECK(result->status == WEIR_OK);
    completed = token;
}
static void counter_add(weir_ctx *ctx, const char *name, uint64_t delta) {
    (void)ctx;
    CHECK(strcmp(name, "tally_total") == 0);
    total += delta;
}
static const weir_host_config config = {.struct_size = sizeof config, .get_str = get_str};
static const weir_host_task task = {.struct_size = sizeof task, .write_done = write_done};
static const weir_host_metrics metrics = {.struct_size = sizeof metrics,
                                          .counter_add = counter_add};
static const void *get_extension(const weir_host *h, const char *name) {
    (void)h;
    if (strcmp(name, WEIR_HOST_CONFIG) == 0) return &config;
    if (strcmp(name, WEIR_HOST_METRICS) == 0) return &metrics;
    return strcmp(name, WEIR_HOST_TASK) == 0 ? &task : NULL;
}
static const weir_host host = {.struct_size = sizeof host,
                               .abi_minor = WEIR_ABI_MINOR,
                               .name = "outside",
                               .version = "0",
                               .get_extension = get_extension,
                               .mem_alloc = host_alloc,
                               .mem_free = host_free,
                               .error_set = host_error_set};

int main(int argc, char **argv) {
    const char *const good[] = {"{\"n\":1}", "{\"n\":2,\"m\":9}", "{\"n\":39}"};
    const char *const bad[] = {"{\"n\":"};
    const uint32_t good_len[] = {7, 13, 8};
    const uint32_t bad_len[] = {5};
    registry *r = registry_new();
    const bound_component *b = NULL;
    err = error_new();
    CHECK(argc == 2 && r != NULL);
    CHECK(registry_add(r, argv[1], NULL, err) == WEIR_OK);
    const component_ref *c = registry_find(r, WEIR_KIND_SINK, STR("tally"));
    CHECK(c != NULL);
    CHECK(component_note(c)->option_count == 1);
    CHECK(loader_bind(r, c, &host, &b, err) == WEIR_OK);
    weir_ctx ctx = {.struct_size = sizeof ctx, .host = &host};
    weir_create create = {.struct_size = sizeof create, .ctx = &ctx, .error = err};
    CHECK(b->ops.sink.create(&create) == WEIR_OK);
    weir_rows rows = {
        .struct_size = sizeof rows, .count = 3, .value_ptr = good, .value_len = good_len};
    weir_request request = {.struct_size = sizeof request, .rows = &rows};
    weir_write write = {.struct_size = sizeof write, .request = &request, .token = 8, .error = err};
    CHECK(b->ops.sink.write(create.self, &write) == WEIR_OK);
    CHECK(write.taken == 3 && completed == 8);
    CHECK(total == 42);
    rows.count = 1;
    rows.value_ptr = bad;
    rows.value_len = bad_len;
    CHECK(b->ops.sink.write(create.self, &write) == WEIR_E_DATA);
    CHECK(strstr(error_text(err), "record 0: column ") != NULL);
    b->ops.sink.destroy(create.self);
    registry_free(r);
    error_free(err);
    printf("a plugin from outside adds up to %u\n", (unsigned)total);
    return 0;
}
