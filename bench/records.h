/*
 * bench/records.h - the record that all benchmarks use: a flat JSON object of ten fields.
 *
 * Two integers, a decimal, a decimal that is null in every fourth record, a boolean, four short
 * strings, and a text of words and numbers that fills it up to about 1,010 bytes. Record i is the
 * same on every machine and in every run: it depends on i only.
 */
#ifndef WEIR_BENCH_RECORDS_H
#define WEIR_BENCH_RECORDS_H

#include <stddef.h>
#include <stdint.h>

#define BENCH_RECORD_MAX 1280u

/* Writes record `index` without newline, returns its length (< BENCH_RECORD_MAX). Not
 * NUL-terminated. */
size_t bench_record(uint64_t index, char *out);

#endif
