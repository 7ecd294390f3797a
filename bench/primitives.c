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
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif
#include <openssl/evp.h>
#include <zlib.h>
#ifdef BENCH_ISAL
#include <isa-l/igzip_lib.h>
#endif

#include "records.h"

#define TURNS 5
#define WARM_TURNS 20 /* more than the file of the write turns has room for */
#define TURN_NS 60000000
#define MIB ((size_t)1 << 20)

static char *text;  /* 4 MiB of records, one a line */
static char *space; /* as much room, and some for growth */
static const size_t text_size = 4 * MIB;
static const size_t space_size = 8 * MIB;
static int file_fd = -1;
static int pair[2];
static int64_t uncounted_ns; /* time of the turn that is not the primitive's */
static uint64_t sink_value;  /* results land here, so that nothing is optimised away */

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

/* One pass that classes each byte as a JSON reader must: quote, backslash, control, beyond ASCII.
 * No reader or writer that validates can do with less. */
static size_t do_string_scan(void) {
    uint64_t found = 0;
#if defined(__SSE2__)
    const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\');
    const __m128i space_below = _mm_set1_epi8(0x20);
    for (size_t i = 0; i < text_size; i += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(text + i));
        /* Signed: bytes from 0x80 are below the space too. */
        __m128i hit = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(v, quote), _mm_cmpeq_epi8(v, slash)),
                                   _mm_cmplt_epi8(v, space_below));
        found += (unsigned)__builtin_popcount((unsigned)_mm_movemask_epi8(hit));
    }
#else
    for (size_t i = 0; i < text_size; i++) {
        unsigned char c = (unsigned char)text[i];
        found += c == '"' || c == '\\' || c < 0x20 || c >= 0x80;
    }
#endif
    sink_value += found;
    return text_size;
}

static size_t do_base64_encode(void) {
    sink_value += (uint64_t)EVP_EncodeBlock((unsigned char *)space, (unsigned char *)text, MIB);
    return MIB;
}

static char *base64_text; /* 1 MiB of text, encoded */
static size_t base64_len;

#if defined(__x86_64__)
/* 32 digits to 24 bytes a turn: two table look-ups by nibble give the offset from digit to value
 * and, as bits that must not meet, whether it is a digit at all. */
__attribute__((target("avx2"))) static size_t base64_decode_avx2(const char *in, size_t len,
                                                                 char *out) {
    const __m256i low_bits =
        _mm256_broadcastsi128_si256(_mm_setr_epi8(0x15, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11,
                                                  0x11, 0x11, 0x13, 0x1a, 0x1b, 0x1b, 0x1b, 0x1a));
    const __m256i high_bits =
        _mm256_broadcastsi128_si256(_mm_setr_epi8(0x10, 0x10, 0x01, 0x02, 0x04, 0x08, 0x04, 0x08,
                                                  0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10));
    const __m256i offsets = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 16, 19, 4, -65, -65, -71, -71, 0, 0, 0, 0, 0, 0, 0, 0));
    const __m256i pack = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, -1, -1, -1, -1));
    const __m256i mask = _mm256_set1_epi8(0x2f);
    size_t done = 0;
    for (; done + 32 <= len; done += 32, out += 24) {
        __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)(in + done));
        __m256i high = _mm256_and_si256(_mm256_srli_epi32(v, 4), mask);
        __m256i low = _mm256_and_si256(v, mask);
        if (!_mm256_testz_si256(_mm256_shuffle_epi8(low_bits, low),
                                _mm256_shuffle_epi8(high_bits, high)))
            break;
        __m256i slash = _mm256_cmpeq_epi8(v, mask);
        v = _mm256_add_epi8(v, _mm256_shuffle_epi8(offsets, _mm256_add_epi8(slash, high)));
        v = _mm256_maddubs_epi16(v, _mm256_set1_epi32(0x01400140));
        v = _mm256_madd_epi16(v, _mm256_set1_epi32(0x00011000));
        v = _mm256_shuffle_epi8(v, pack);
        _mm_storeu_si128((__m128i *)(void *)out, _mm256_castsi256_si128(v));
        _mm_storeu_si128((__m128i *)(void *)(out + 12), _mm256_extracti128_si256(v, 1));
    }
    return done;
}
#endif

/* The best this processor does: without AVX2 that is OpenSSL's. Bytes are those of the result. */
static size_t do_base64_decode(void) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) {
        size_t done = base64_decode_avx2(base64_text, base64_len, space);
        if (done + 64 < base64_len || memcmp(space, text, done / 4 * 3) != 0) fail("base64");
        return done / 4 * 3;
    }
#endif
    sink_value += (uint64_t)EVP_DecodeBlock((unsigned char *)space, (unsigned char *)base64_text,
                                            (int)base64_len);
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

/* A file of 256 MiB, written anew and read from its beginning again and again: larger than the
 * caches, as the files of a benchmark are. Emptying it in between is not counted, since no pipeline
 * does that; the pages it gives back are those that the next turn gets, as in a series of runs. */
#define FILE_BYTES (256 * (off_t)MIB)
#define BLOCK 262144
#define BLOCKS_A_TURN 64

static size_t do_write_file(void) {
    static off_t at;
    if (at >= FILE_BYTES) {
        int64_t begin = cpu_ns();
        at = 0;
        if (ftruncate(file_fd, 0) != 0) fail("truncate");
        uncounted_ns += cpu_ns() - begin;
    }
    size_t done = 0;
    for (int i = 0; i < BLOCKS_A_TURN; i++) {
        ssize_t n = pwrite(file_fd, text + (done % (text_size - MIB)), BLOCK, at);
        if (n != BLOCK) fail("write");
        done += (size_t)n;
        at += n;
    }
    return done;
}

/* The writer stops anywhere; the reader wants all of its part. */
static void fill_file(void) {
    for (off_t at = 0; at < FILE_BYTES; at += BLOCK)
        if (pwrite(file_fd, text, BLOCK, at) != BLOCK) fail("write");
}

/* What it costs to make the file durable: fsync alone, each time of a file written anew. */
static size_t do_sync_file(void) {
    int64_t begin = cpu_ns();
    if (ftruncate(file_fd, 0) != 0) fail("truncate");
    fill_file();
    uncounted_ns += cpu_ns() - begin;
    if (fsync(file_fd) != 0) fail("fsync");
    return (size_t)FILE_BYTES;
}

static size_t do_read_file(void) {
    static off_t at;
    size_t done = 0;
    for (int i = 0; i < BLOCKS_A_TURN; i++) {
        ssize_t n = pread(file_fd, space, BLOCK, at);
        if (n < 0) fail("read");
        at = at + n >= FILE_BYTES ? 0 : at + n;
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
    {"string_scan", do_string_scan},
    {"base64_encode_openssl", do_base64_encode},
    {"base64_decode", do_base64_decode},
    {"gzip_zlib_1", do_gzip},
#ifdef BENCH_ISAL
    {"gzip_isal_1", do_igzip},
#endif
    {"file_write_256k", do_write_file},
    {"file_sync", do_sync_file},
    {"file_read_256k", do_read_file},
    {"socket_recv", do_socket_recv},
};

static double best_rate(size_t (*turn)(void)) {
    double best = 0;
    /* A turn of fsync writes the whole file to the disk: one warms it, and one is a measurement. */
    bool sync = turn == do_sync_file;
    int64_t turn_ns = sync ? 0 : TURN_NS;
    for (int i = 0; i < (sync ? 1 : WARM_TURNS); i++) turn(); /* touches pages, warms the code */
    for (int i = 0; i < TURNS; i++) {
        size_t bytes = 0;
        int64_t begin = cpu_ns(), spent;
        uncounted_ns = 0;
        do {
            bytes += turn();
            spent = cpu_ns() - begin - uncounted_ns;
        } while (spent < turn_ns);
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
    base64_text = malloc(MIB * 2);
    if (!base64_text) fail("memory");
    base64_len = (size_t)EVP_EncodeBlock((unsigned char *)base64_text, (unsigned char *)text, MIB);

    printf("{\"record_bytes\": %.1f", (double)text_size / (double)records);
    for (size_t i = 0; i < sizeof primitives / sizeof primitives[0]; i++) {
        if (primitives[i].turn == do_read_file) fill_file();
        printf(", \"%s\": %.0f", primitives[i].name, best_rate(primitives[i].turn));
    }
    printf("}\n");
    return sink_value == 42 ? 3 : 0; /* never 3: keeps the compiler honest */
}
