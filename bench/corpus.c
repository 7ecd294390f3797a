/*
 * bench/corpus.c - writes the benchmark corpus: corpus COUNT > FILE
 *
 * COUNT records of bench/records.h, one a line.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "records.h"

int main(int argc, char **argv) {
    char *end = NULL;
    errno = 0;
    unsigned long long count = argc == 2 ? strtoull(argv[1], &end, 10) : 0;
    if (count == 0 || errno != 0 || *end != '\0') {
        fprintf(stderr, "usage: corpus COUNT > FILE\n");
        return 2;
    }
    for (unsigned long long i = 0; i < count; i++) {
        char record[BENCH_RECORD_MAX];
        size_t len = bench_record(i, record);
        record[len++] = '\n';
        if (fwrite(record, 1, len, stdout) != len) break;
    }
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "corpus: %s\n", strerror(errno));
        return 1;
    }
    return 0;
}
