/*
 * core/runtime/key_group.h - which instance a key belongs to.
 *
 *   key -> hash -> group = hash % max_parallelism -> instance = group * parallelism /
 * max_parallelism
 *
 * State by key is kept, stored and moved by group: with another parallelism whole groups move to
 * another instance, and no key changes its group. So hash and both formulas stay as they are for
 * ever, on every machine: checkpoints depend on them (docs/reference/checkpoint-format.md).
 */
#ifndef WEIR_RUNTIME_KEY_GROUP_H
#define WEIR_RUNTIME_KEY_GROUP_H

#include "weir/types.h"

/* settings.max_parallelism reaches up to it. */
#define KEY_GROUPS_MAX 32768u

/* SipHash-2-4 with the key 00 01 02 ... 0f, that of its published test vectors. [any] */
uint64_t key_hash(weir_str key);
/* 0 .. groups - 1. groups > 0. [any] */
uint32_t key_group(weir_str key, uint32_t groups);
/* 0 .. parallelism - 1. group < groups. [any] */
uint32_t key_group_instance(uint32_t group, uint32_t groups, uint32_t parallelism);
/* The first group of an instance; its last is the one before the first of the next. For
 * `instance` == parallelism: `groups`. [any] */
uint32_t key_group_first(uint32_t instance, uint32_t groups, uint32_t parallelism);

#endif
