#include "records.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* splitmix64: each value of the counter gives an independent one. */
static uint64_t next_random(uint64_t *state) {
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static const char *const words[] = {
    "request",  "from",    "gateway", "served", "cache",   "miss",   "retry",   "upstream",
    "session",  "opened",  "closed",  "order",  "payment", "basket", "shipped", "warehouse",
    "tenant",   "quota",   "latency", "bytes",  "payload", "queued", "worker",  "scheduled",
    "checksum", "version", "replica", "shard",  "offset",  "commit", "timeout", "accepted"};
static const char *const countries[] = {"DE", "FR", "PL", "IT", "ES", "SE", "NL", "AT"};
static const char *const devices[] = {"mobile", "tablet", "desktop", "kiosk"};
static const char *const events[] = {"view", "click", "search", "purchase"};

#define PICK(table, r) (table)[(r) % (sizeof(table) / sizeof(table)[0])]

size_t bench_record(uint64_t index, char *out) {
    uint64_t state = index * 2 + 1;
    uint64_t a = next_random(&state), b = next_random(&state);
    char discount[16] = "null";
    if (index % 4 != 0) snprintf(discount, sizeof discount, "0.%02u", (unsigned)(b % 99) + 1);

    int head = snprintf(out, BENCH_RECORD_MAX,
                        "{\"id\":%" PRIu64 ",\"ts\":%" PRIu64 ",\"price\":%u.%02u,\"discount\":%s,"
                        "\"active\":%s,\"user\":\"u-%06u\",\"country\":\"%s\",\"device\":\"%s\","
                        "\"event\":\"%s\",\"text\":\"",
                        1000000 + index, UINT64_C(1767225600000000) + index * 137,
                        (unsigned)(a % 9000) + 10, (unsigned)(a >> 32) % 100, discount,
                        (a >> 40) % 2 ? "true" : "false", (unsigned)(b >> 20) % 1000000,
                        PICK(countries, a >> 48), PICK(devices, b >> 44), PICK(events, b >> 52));
    size_t len = (size_t)head;

    /* 784 to 911 bytes of text bring the average record to 1,010 bytes. */
    size_t want = len + 784 + (a >> 8) % 128;
    while (len < want) {
        uint64_t r = next_random(&state);
        if (r % 4 == 0) {
            len += (size_t)snprintf(out + len, 16, "%u ", (unsigned)(r >> 32) % 1000000);
        } else {
            const char *word = PICK(words, r >> 16);
            size_t n = strlen(word);
            memcpy(out + len, word, n);
            out[len + n] = ' ';
            len += n + 1;
        }
    }
    memcpy(out + len - 1, "\"}", 2); /* over the last space */
    return len + 1;
}
