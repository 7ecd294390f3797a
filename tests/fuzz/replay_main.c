/*
 * tests/fuzz/replay_main.c - runs a fuzz target over stored inputs, without a fuzzer.
 *
 *     replay FILE_OR_FOLDER...
 *
 * Linked with one fuzz_NAME.c it makes a program for ctest: every input that ever mattered is tried
 * in each build, by any compiler, also under the sanitizers. It prints the file before it runs it,
 * so that a crash names its cause.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned replayed;

/* The input lies in an allocation of its exact size, so that a sanitizer sees the first byte that
 * is read behind its end. */
static int replay_file(const char *path) {
    FILE *in = fopen(path, "rb");
    if (!in) {
        fprintf(stderr, "replay: %s: %s\n", path, strerror(errno));
        return 1;
    }
    struct stat info;
    if (fstat(fileno(in), &info) != 0 || info.st_size < 0) {
        fprintf(stderr, "replay: %s: cannot tell its size\n", path);
        fclose(in);
        return 1;
    }
    size_t size = (size_t)info.st_size;
    uint8_t *data = malloc(size ? size : 1);
    if (!data || fread(data, 1, size, in) != size) {
        fprintf(stderr, "replay: %s: cannot be read\n", path);
        free(data);
        fclose(in);
        return 1;
    }
    fclose(in);
    printf("%s\n", path);
    fflush(stdout);
    LLVMFuzzerTestOneInput(data, size);
    free(data);
    replayed++;
    return 0;
}

static int replay_folder(const char *path) {
    DIR *dir = opendir(path);
    if (!dir) {
        fprintf(stderr, "replay: %s: %s\n", path, strerror(errno));
        return 1;
    }
    int failed = 0;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (entry->d_name[0] == '.') continue;
        char file[4096];
        int n = snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
        if (n < 0 || (size_t)n >= sizeof file) {
            fprintf(stderr, "replay: %s/%s: the path is too long\n", path, entry->d_name);
            failed = 1;
            continue;
        }
        failed |= replay_file(file);
    }
    closedir(dir);
    return failed;
}

int main(int argc, char **argv) {
    int failed = 0;
    /* Every target must survive the input that no folder can hold by accident: none at all. */
    uint8_t *nothing = calloc(1, 1);
    if (!nothing) return 1;
    LLVMFuzzerTestOneInput(nothing, 0);
    free(nothing);
    for (int i = 1; i < argc; i++) {
        struct stat info;
        if (stat(argv[i], &info) != 0) {
            fprintf(stderr, "replay: %s: %s\n", argv[i], strerror(errno));
            failed = 1;
        } else if (S_ISDIR(info.st_mode)) {
            failed |= replay_folder(argv[i]);
        } else {
            failed |= replay_file(argv[i]);
        }
    }
    if (argc > 1 && replayed == 0) {
        fprintf(stderr, "replay: no input was found; a corpus that is empty proves nothing\n");
        failed = 1;
    }
    printf("%u inputs\n", replayed);
    return failed;
}
