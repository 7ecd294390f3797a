/*
 * plugins/std/pending_private.h - what the parts of pending.h share: names and blobs
 * (pending_state.c), flush, commit and abort (pending.c), recovery (pending_recover.c).
 */
#ifndef WEIR_STD_PENDING_PRIVATE_H
#define WEIR_STD_PENDING_PRIVATE_H

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "pending.h"

/* Rules that the simulator can take away, to show that each is needed. */
#ifdef WEIR_MUTATIONS
bool mutation_on(const char *name);
#define MUTATED(name) mutation_on(#name)
#else
#define MUTATED(name) false
#endif

/* Free names that are tried before something is put off. */
#define PENDING_TRIES_MAX 100000u

#define FNV_BASIS UINT64_C(0xcbf29ce484222325)
#define FNV_PRIME UINT64_C(0x100000001b3)

/* FNV-1a, from FNV_BASIS on. */
static inline uint64_t pending_hash(uint64_t hash, const char *bytes, size_t size) {
    for (size_t i = 0; i < size; i++) hash = (hash ^ (unsigned char)bytes[i]) * FNV_PRIME;
    return hash;
}

/* Numbers of `bytes` bytes, most significant first. */
static inline char *pending_put(char *at, uint64_t v, int bytes) {
    for (int i = bytes - 1; i >= 0; i--) *at++ = (char)(v >> (8 * i));
    return at;
}

static inline uint64_t pending_get(const char *at, int bytes) {
    uint64_t v = 0;
    for (int i = 0; i < bytes; i++) v = v << 8 | (unsigned char)at[i];
    return v;
}

/* A folder as it stands in front of names: empty, or with its slash. */
static inline bool pending_is_prefix(weir_str s) {
    return s.len == 0 || (s.len < PATH_MAX && s.ptr[s.len - 1] == '/' &&
                          memchr(s.ptr, '\0', (size_t)s.len) == NULL);
}

/* 0, or ENAMETOOLONG. */
static inline int pending_join(char out[PENDING_PATH_MAX], const char *prefix, weir_str name) {
    int n = snprintf(out, PENDING_PATH_MAX, "%s%.*s", prefix, (int)name.len, name.ptr);
    return n >= 0 && (size_t)n < PENDING_PATH_MAX ? 0 : ENAMETOOLONG;
}

static inline weir_str pending_text(const char *z) {
    return (weir_str){z, strlen(z)};
}

#endif
