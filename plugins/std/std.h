/*
 * plugins/std/std.h - the components of std.so and the small things they share.
 */
#ifndef WEIR_STD_H
#define WEIR_STD_H

#include <stdbool.h>
#include <string.h>

#include "weir/sdk.h"

extern const weir_component std_generator;
extern const weir_component std_file_source;
extern const weir_component std_file_sink;
extern const weir_component std_stdin;
extern const weir_component std_stdout;
extern const weir_component std_blackhole;

/* What the plugin's entry function answers. */
extern const weir_plugin std_plugin;

#define STD_ID "dev.weir.std"
#define STD_VERSION "0.1.0"

/* Positions are big-endian, so that memcmp orders them. */
static inline void std_put_u64(char out[8], uint64_t v) {
    for (int i = 0; i < 8; i++) out[i] = (char)(v >> (56 - 8 * i));
}

static inline uint64_t std_get_u64(const char *in) {
    uint64_t v = 0;
    for (int i = 0; i < 8; i++) v = v << 8 | (unsigned char)in[i];
    return v;
}

/* Metadata columns that somebody downstream asked for in weir_open. */
#define STD_META_SPLIT (1u << 0)
#define STD_META_POSITION (1u << 1)
#define STD_META_OBJECT (1u << 2)
#define STD_META_STREAM (1u << 3)
uint32_t std_meta_wanted(const weir_open *args); /* [task] */

/* Adds a constant column; `value` is copied into the batch. [task] */
weir_status std_meta_constant(const weir_api *api, weir_batch_builder *b, const char *name,
                              weir_str value);
/* Adds a column of `count` decimal numbers. [task] */
weir_status std_meta_numbers(const weir_api *api, weir_batch_builder *b, const char *name,
                             const uint64_t *numbers, uint32_t count);

/* The node's framing. Fails for a compression, which these components do not know. [task] */
weir_status std_format_get(weir_ctx *ctx, uint32_t otherwise, weir_format *out, weir_error *error);

/* A path option relative to the manifest's folder as an absolute or working-folder path; from
 * weir_alloc, NULL without memory. [any] */
char *std_path_join(weir_ctx *ctx, weir_str path);

/* The status that an errno of a file operation means, and error flags that go with it: RETRYABLE
 * only for what may pass by waiting, CONFIG for a path that no file can have, FATAL for the rest.
 * No record is blamed: the caller knows whether one made the path, see std_path_fault. */
weir_status std_errno_status(int code, uint32_t *flags);
/* What is wrong with the path itself if opening it or making its folders failed with this errno
 * (static, lower case); NULL if the errno says nothing about the path. [any] */
const char *std_path_fault(int code);
/* Can the descriptor be used in this direction, O_RDONLY or O_WRONLY? A closed standard stream
 * cannot, nor can what a host put in its place so that its number stays taken. [any] */
bool std_stream_usable(int fd, int direction);
/* strerror without its shared buffer. */
const char *std_strerror(int code, char *buffer, size_t size);

#endif
