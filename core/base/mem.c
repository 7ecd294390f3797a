#include "base/mem.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

/* 0: off. Otherwise allocations left until one fails; it stays at 1 while failing is sticky. */
static _Atomic int64_t countdown;
static atomic_bool keeps_failing;
static atomic_bool has_failed;

static bool fails_slow(void) {
    int64_t left = atomic_load(&countdown);
    while (left > 0) {
        int64_t next = left == 1 && atomic_load(&keeps_failing) ? 1 : left - 1;
        if (!atomic_compare_exchange_weak(&countdown, &left, next)) continue;
        if (left > 1) return false;
        atomic_store(&has_failed, true);
        return true;
    }
    return false;
}

static inline bool fails(void) {
    if (__builtin_expect(atomic_load_explicit(&countdown, memory_order_relaxed) == 0, 1))
        return false;
    return fails_slow();
}

void *mem_alloc(size_t size) {
    return fails() ? NULL : malloc(size > 0 ? size : 1);
}

void *mem_zalloc(size_t size) {
    return fails() ? NULL : calloc(1, size > 0 ? size : 1);
}

void *mem_array(size_t count, size_t size) {
    size_t bytes;
    return mem_mul(count, size, &bytes) ? mem_zalloc(bytes) : NULL;
}

void *mem_realloc(void *ptr, size_t size) {
    return fails() ? NULL : realloc(ptr, size > 0 ? size : 1);
}

void mem_free(void *ptr) {
    free(ptr);
}

void *mem_map(size_t size) {
    if (fails()) return NULL;
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

void mem_unmap(void *ptr, size_t size) {
    if (ptr != NULL) (void)munmap(ptr, size);
}

bool mem_test_fail_at(int64_t n, bool sticky) {
    atomic_store(&countdown, 0);
    bool failed = atomic_exchange(&has_failed, false);
    atomic_store(&keeps_failing, sticky);
    atomic_store(&countdown, n);
    return failed;
}
