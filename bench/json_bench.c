/*
 * bench/json_bench.c - what one record costs in the JSON parser and writer.
 *
 *     json_bench [FILE]      lines of JSON; without a file 1,000 of the records all benchmarks use
 *
 * Prints the median over rounds of CPU ns a record for parse, write and both, and base64 in GB/s.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "records.h"
#include "weir/json.h"

#define ROUNDS 41
#define RECORDS_MAX 100000u
#define NODES_MAX 1000000u
#define OUT_BYTES (UINT64_C(1) << 20)
#define BASE64_BYTES (UINT64_C(3) << 16)

static double now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values) {
    qsort(values, ROUNDS, sizeof *values, compare);
    return values[ROUNDS / 2];
}

static void *need(size_t size) {
    void *memory = malloc(size);
    if (memory) return memory;
    fprintf(stderr, "json_bench: out of memory\n");
    exit(1);
}

/* Each record in memory of its own: nothing helps that a pipeline would not have. */
static uint32_t load(const char *path, weir_str *records, uint64_t *bytes) {
    uint32_t count = 0;
    FILE *f = path ? fopen(path, "rb") : NULL;
    if (path && !f) {
        perror(path);
        exit(1);
    }
    char *line = NULL, made[BENCH_RECORD_MAX];
    size_t room = 0;
    while (count < (path ? RECORDS_MAX : 1000)) {
        ssize_t n = path ? getline(&line, &room, f) : (ssize_t)bench_record(count, made);
        if (n <= 0) break;
        char *text = need((size_t)n);
        memcpy(text, path ? line : made, (size_t)n);
        records[count++] = (weir_str){text, (uint64_t)n};
        *bytes += (uint64_t)n;
    }
    free(line);
    if (f) fclose(f);
    return count;
}

static char *take(void *opaque, uint64_t size) {
    char **at = opaque;
    char *bytes = *at;
    *at += size;
    return bytes;
}

int main(int argc, char **argv) {
    weir_str *records = need(RECORDS_MAX * sizeof *records);
    uint64_t bytes = 0, written = 0;
    uint32_t count = load(argc > 1 ? argv[1] : NULL, records, &bytes);
    if (count == 0) return 1;
    char *strings = need(bytes + 1), *at = strings;
    weir_value *nodes = need(NODES_MAX * sizeof *nodes);
    weir_json_parser p = {.nodes = nodes, .capacity = NODES_MAX, .alloc = take, .opaque = &at};
    char *out = need(OUT_BYTES), *base64 = need(BASE64_BYTES / 3 * 4);
    memset(out, 'x', OUT_BYTES);
    double parse[ROUNDS], both[ROUNDS], encode[ROUNDS], decode[ROUNDS];
    uint32_t repeat = 1 + 20000 / count;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        double t0 = now_ns();
        for (uint32_t i = 0; i < count * repeat; i++) {
            at = strings;
            if (weir_json_parse(&p, records[i % count]) != WEIR_OK) {
                fprintf(stderr, "json_bench: line %u: %s\n", i % count + 1, p.fault.text);
                return 1;
            }
        }
        double t1 = now_ns();
        for (uint32_t i = 0; i < count * repeat; i++) {
            at = strings;
            weir_json_parse(&p, records[i % count]);
            if (weir_json_bound(nodes) > OUT_BYTES) return 1;
            written += weir_json_write(nodes, out);
        }
        double t2 = now_ns();
        for (uint32_t i = 0; i < 100; i++)
            weir_base64_encode((weir_str){out, BASE64_BYTES}, base64);
        double t3 = now_ns();
        for (uint32_t i = 0; i < 100; i++)
            weir_base64_decode((weir_str){base64, BASE64_BYTES / 3 * 4}, out);
        double t4 = now_ns();
        parse[round] = (t1 - t0) / count / repeat;
        both[round] = (t2 - t1) / count / repeat;
        encode[round] = 100.0 * (double)BASE64_BYTES / (t3 - t2);
        decode[round] = 100.0 * (double)BASE64_BYTES / (t4 - t3);
    }
    double p50 = median(parse), b50 = median(both);
    printf("%u records, %.0f bytes on average, %.0f written\n", count, (double)bytes / count,
           (double)written / ROUNDS / repeat / count);
    printf("parse           %8.1f ns a record\n", p50);
    printf("bound and write %8.1f ns a record\n", b50 - p50);
    printf("both            %8.1f ns a record\n", b50);
    printf("base64 encode   %8.2f GB/s of bytes\n", median(encode));
    printf("base64 decode   %8.2f GB/s of bytes\n", median(decode));
    return 0;
}
