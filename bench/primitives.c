/*
 * bench/primitives.c - what this machine can do, in bytes per CPU-second: one JSON object.
 *
 *     primitives FOLDER
 *
 * Each row of the benchmark is compared with a bound made of these figures, measured in the same
 * run. A figure is the best of five turns of at least 60 ms of thread CPU time each: the best turn
 * is the one that neighbours on this machine disturbed least. FOLDER holds the file for read(2) and
 * write(2); it should be where the benchmark writes.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <zlib.h>
#ifdef BENCH_ISAL
#include <isa-l/igzip_lib.h>
#endif

#include "records.h"

#define TURNS 5
#define TURN_NS 60000000
#define MIB ((size_t)1 << 20)

static char *text;  /* 4 MiB of records, one a line */
static char *space; /* as much room, and some for growth */
static const size_t text_size = 4 * MIB;
static const size_t space_size = 8 * MIB;
static int file_fd = -1;
static int pair[2];
static uint64_t sink_value; /* results land here, so that nothing is optimised away */

static int64_t cpu_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void fail(const char *what) {
    fprintf(stderr, "primitives: %s: %s\n", what, errno ? strerror(errno) : "failed");
    exit(1);
}

/* ---- one turn of each: does some work, returns how many bytes of input it went through ---- */

static size_t do_memcpy(void) {
    /* Destination and source of a batch: larger than the second-level cache, as batches are. */
    memcpy(space, text, text_size);
    sink_value += (unsigned char)space[sink_value % text_size];
    return text_size;
}

static size_t do_newline_scan(void) {
    const char *p = text, *end = text + text_size;
    while ((p = memchr(p, '\n', (size_t)(end - p))) != NULL) {
        sink_value++;
        p++;
    }
    return text_size;
}

static size_t do_sha256(void) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    if (EVP_Digest(text, MIB, digest, NULL, EVP_sha256(), NULL) != 1) fail("SHA-256");
    sink_value += digest[0];
    return MIB;
}

static size_t do_aes_gcm(void) {
    static EVP_CIPHER_CTX *ctx;
    static const unsigned char key[16] = {1}, iv[12] = {2};
    if (!ctx) ctx = EVP_CIPHER_CTX_new();
    unsigned char tag[16];
    size_t done = 0;
    /* As TLS does it: one seal a record of 16 KiB. */
    for (; done < MIB; done += 16384) {
        int n = 0;
        if (EVP_EncryptInit_ex(ctx, EVP_aes_128_gcm(), NULL, key, iv) != 1 ||
            EVP_EncryptUpdate(ctx, (unsigned char *)space, &n, (unsigned char *)text + done,
                              16384) != 1 ||
            EVP_EncryptFinal_ex(ctx, (unsigned char *)space + n, &n) != 1 ||
            EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, sizeof tag, tag) != 1)
            fail("AES-GCM");
        sink_value += tag[0];
    }
    return done;
}

static size_t do_base64_encode(void) {
    sink_value += (uint64_t)EVP_EncodeBlock((unsigned char *)space, (unsigned char *)text, MIB);
    return MIB;
}

static size_t do_gzip(void) {
    z_stream z;
    memset(&z, 0, sizeof z);
    if (deflateInit2(&z, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) fail("zlib");
    z.next_in = (unsigned char *)text;
    z.avail_in = MIB;
    z.next_out = (unsigned char *)space;
    z.avail_out = (unsigned)space_size;
    if (deflate(&z, Z_FINISH) != Z_STREAM_END) fail("zlib");
    sink_value += z.total_out;
    deflateEnd(&z);
    return MIB;
}

#ifdef BENCH_ISAL
static size_t do_igzip(void) {
    static uint8_t level_buffer[ISAL_DEF_LVL1_DEFAULT];
    static struct isal_zstream z;
    isal_deflate_init(&z);
    z.gzip_flag = IGZIP_GZIP;
    z.level = 1;
    z.level_buf = level_buffer;
    z.level_buf_size = sizeof level_buffer;
    z.end_of_stream = 1;
    z.next_in = (uint8_t *)text;
    z.avail_in = MIB;
    z.next_out = (uint8_t *)space;
    z.avail_out = (uint32_t)space_size;
    if (isal_deflate(&z) != COMP_OK) fail("ISA-L");
    sink_value += z.total_out;
    return MIB;
}
#endif

/* A new file each turn, as a sink writes one: page allocation is most of its price. */
static size_t do_write_file(void) {
    if (ftruncate(file_fd, 0) != 0 || lseek(file_fd, 0, SEEK_SET) != 0) fail("truncate");
    size_t done = 0;
    for (int i = 0; i < 64; i++) {
        ssize_t n = write(file_fd, text + (done % (text_size - MIB)), 262144);
        if (n != 262144) fail("write");
        done += (size_t)n;
    }
    return done;
}

static size_t do_read_file(void) {
    size_t done = 0;
    for (int i = 0; i < 64; i++) {
        ssize_t n = pread(file_fd, space, 262144, (off_t)done);
        if (n <= 0) fail("read");
        done += (size_t)n;
    }
    return done;
}

/* TCP over loopback, both ends in this thread. Only recv is what a client pays, so the bytes are
 * scaled up by the share of the time that was not spent in it. */
static size_t do_socket_recv(void) {
    static int64_t recv_ns, all_ns;
    size_t done = 0;
    int64_t begin = cpu_ns();
    for (int i = 0; i < 16; i++) {
        ssize_t n = send(pair[0], text, 131072, 0);
        if (n <= 0) fail("send");
        int64_t mid = cpu_ns();
        for (ssize_t got = 0; got < n;) {
            ssize_t m = recv(pair[1], space, 262144, 0);
            if (m <= 0) fail("recv");
            got += m;
        }
        recv_ns += cpu_ns() - mid;
        done += (size_t)n;
    }
    all_ns += cpu_ns() - begin;
    return (size_t)((double)done * (double)all_ns / (double)(recv_ns ? recv_ns : 1));
}

static void connect_pair(void) {
    struct sockaddr_in here = {.sin_family = AF_INET};
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof here;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int room = 4 << 20;
    if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &room, sizeof room) != 0 ||
        bind(listener, (struct sockaddr *)&here, size) != 0 || listen(listener, 1) != 0 ||
        getsockname(listener, (struct sockaddr *)&here, &size) != 0)
        fail("listen");
    pair[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    if (pair[0] < 0 || connect(pair[0], (struct sockaddr *)&here, size) != 0) fail("connect");
    pair[1] = accept(listener, NULL, NULL);
    if (pair[1] < 0) fail("accept");
    close(listener);
}

/* ---- driver ---- */

static const struct primitive {
    const char *name;
    size_t (*turn)(void);
} primitives[] = {
    {"memcpy", do_memcpy},
    {"newline_scan", do_newline_scan},
    {"sha256", do_sha256},
    {"aes_128_gcm", do_aes_gcm},
    {"base64_encode_openssl", do_base64_encode},
    {"gzip_zlib_1", do_gzip},
#ifdef BENCH_ISAL
    {"gzip_isal_1", do_igzip},
#endif
    {"file_write_256k", do_write_file},
    {"file_read_256k", do_read_file},
    {"socket_recv", do_socket_recv},
};

static double best_rate(size_t (*turn)(void)) {
    double best = 0;
    turn(); /* touches the pages and warms the code */
    for (int i = 0; i < TURNS; i++) {
        size_t bytes = 0;
        int64_t begin = cpu_ns(), spent;
        do {
            bytes += turn();
            spent = cpu_ns() - begin;
        } while (spent < TURN_NS);
        double rate = (double)bytes * 1e9 / (double)spent;
        if (rate > best) best = rate;
    }
    return best;
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: primitives FOLDER\n");
        return 2;
    }
    text = malloc(text_size + BENCH_RECORD_MAX);
    space = malloc(space_size);
    if (!text || !space) fail("memory");
    memset(space, 0, space_size);
    uint64_t records = 0;
    for (size_t at = 0; at < text_size; records++) {
        at += bench_record(records, text + at);
        text[at++] = '\n';
    }

    char path[4096];
    int n = snprintf(path, sizeof path, "%s/primitives-XXXXXX", argv[1]);
    if (n < 0 || (size_t)n >= sizeof path) fail("path");
    file_fd = mkstemp(path);
    if (file_fd < 0) fail(path);
    unlink(path);
    connect_pair();

    printf("{\"record_bytes\": %.1f", (double)text_size / (double)records);
    for (size_t i = 0; i < sizeof primitives / sizeof primitives[0]; i++)
        printf(", \"%s\": %.0f", primitives[i].name, best_rate(primitives[i].turn));
    printf("}\n");
    return sink_value == 42 ? 3 : 0; /* never 3: keeps the compiler honest */
}
