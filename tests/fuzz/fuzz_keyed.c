/*
 * State by key as a checkpoint holds it. The first byte says how many groups there are and which
 * one the rest is. Whatever comes, it is restored or refused with a text; what is restored is
 * written as the same bytes again; nothing stays charged.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/limits.h"
#include "base/str.h"
#include "runtime/keyed.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect_same(const keyed *k, weir_str bytes, weir_error *err) {
    state_part *part = part_new(0);
    WEIR_ASSERT(part != NULL && keyed_snapshot(k, 1, part, err) == WEIR_OK);
    WEIR_ASSERT(part->blob_count == (keyed_count(k) > 0));
    if (part->blob_count > 0) WEIR_ASSERT(str_eq(part->blobs[0].bytes, bytes));
    part_free(part);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) return 0;
    uint32_t groups = data[0] % 4u + 1;
    char number[12];
    int len = snprintf(number, sizeof number, "%u", data[0] / 4u % groups);
    const weir_str bytes = {(const char *)data + 1, size - 1};
    state_blob blob = {
        .scope = STATE_SCOPE_KEY_GROUP, .split = str_make(number, (size_t)len), .bytes = bytes};
    const state_node node = {.blobs = &blob, .blob_count = 1};
    batch_home *home = batch_home_new(256 * MIB, NULL, NULL);
    weir_error *err = error_new();
    keyed_pool pool;
    if (home == NULL || err == NULL) abort();
    keyed_pool_init(&pool, home);
    keyed *k = keyed_new(&pool, groups, 0, 1);
    if (k == NULL) abort();
    weir_status status = keyed_restore(k, &node, err);
    if (status == WEIR_OK) {
        expect_same(k, bytes, err);
    } else {
        WEIR_ASSERT(status == WEIR_E_DATA || status == WEIR_E_INCOMPATIBLE ||
                    status == WEIR_E_TOO_LARGE || status == WEIR_E_NOMEM);
        WEIR_ASSERT(error_status(err) == status && error_text(err)[0] != '\0');
    }
    keyed_free(k);
    WEIR_ASSERT(batch_home_used(home) == 0 && atomic_load(&pool.used) == 0);
    batch_home_free(home);
    error_free(err);
    return 0;
}
