#include "options.h"

#include <netdb.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const char help[] =
    "usage: weir-local [OPTION]...\n"
    "An AWS endpoint of this machine: for developing and testing without an account.\n"
    "\n"
    "  --listen ADDRESS:PORT        where to listen (127.0.0.1:0; port 0: any free one)\n"
    "  --port-file FILE             write the port to FILE when ready\n"
    "  --tls CERT KEY               speak TLS too, on the same port\n"
    "  --tls-self-signed DIR        the same, with a certificate made in DIR (cert.pem)\n"
    "  --auth verify|off            check signatures (off)\n"
    "  --dir DIR                    begin with what DIR holds, keep everything there at the end;\n"
    "                               one process a folder\n"
    "  --seed N                     of everything that looks random (1)\n"
    "  --faults FILE                begin with the fault rules of FILE\n"
    "  --stream NAME:SHARDS         a Kinesis stream that is there from the start\n"
    "  --bucket NAME                an S3 bucket\n"
    "  --delivery-stream NAME=BUCKET/PREFIX\n"
    "                               a Firehose stream\n"
    "  --help, --version\n"
    "\n"
    "Values stand behind their option or, as in --seed=7, behind an equals sign. The last three may\n"
    "be given more than once.\n"
    "\n"
    "One line of JSON on standard output says when it is ready and where. SIGTERM and SIGINT end\n"
    "it. Credentials: local / local-secret, account 000000000000, region us-east-1.\n";

/* ---- values: NULL, or the rule that is broken ---- */

static const char *take_listen(arguments *a, const char *const *v) {
    static const char rule[] =
        "expected ADDRESS:PORT, an IPv4 or IPv6 address or localhost and a port of 0 to 65535, "
        "such as 127.0.0.1:4566";
    const char *colon = strrchr(v[0], ':'), *from = v[0];
    int64_t port;
    if (!colon || !str_to_i64(str_of(colon + 1), &port) || port < 0 || port > 65535) return rule;
    size_t n = (size_t)(colon - from);
    if (n >= 2 && from[0] == '[' && from[n - 1] == ']') from++, n -= 2;
    if (n == 0 || n >= sizeof a->address) return rule;
    memcpy(a->address, from, n);
    a->address[n] = 0;
    if (strcmp(a->address, "localhost") == 0) snprintf(a->address, sizeof a->address, "127.0.0.1");
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST}, *found = NULL;
    if (getaddrinfo(a->address, NULL, &hints, &found) != 0) return rule;
    freeaddrinfo(found);
    a->local.server.address = a->address;
    a->local.server.port = (uint16_t)port;
    return NULL;
}

static const char *take_path(const char **at, const char *value) {
    if (!value[0]) return "expected a path";
    *at = value;
    return NULL;
}

static const char *take_port_file(arguments *a, const char *const *v) {
    return take_path(&a->port_file, v[0]);
}

static const char *take_tls(arguments *a, const char *const *v) {
    const char *why = take_path(&a->local.server.cert, v[0]);
    return why ? why : take_path(&a->local.server.key, v[1]);
}

static const char *take_self_signed(arguments *a, const char *const *v) {
    return take_path(&a->self_signed, v[0]);
}

static const char *take_auth(arguments *a, const char *const *v) {
    static const weir_str words[] = {{"verify", 6}, {"off", 3}};
    a->local.verify = strcmp(v[0], "verify") == 0;
    if (a->local.verify || strcmp(v[0], "off") == 0) return NULL;
    int near = str_nearest(str_of(v[0]), words, COUNT(words));
    return near == 0   ? "expected verify or off; did you mean 'verify'?"
           : near == 1 ? "expected verify or off; did you mean 'off'?"
                       : "expected verify or off";
}

static const char *take_dir(arguments *a, const char *const *v) {
    return take_path(&a->local.dir, v[0]);
}

static const char *take_seed(arguments *a, const char *const *v) {
    int64_t n;
    if (!str_to_i64(str_of(v[0]), &n)) return "expected an integer of 64 bits";
    a->local.seed = (uint64_t)n;
    return NULL;
}

static const char *take_faults(arguments *a, const char *const *v) {
    return take_path(&a->faults, v[0]);
}

static const char *add(const char **list, uint32_t *count, const char *value) {
    if (*count == OPTIONS_LIST_MAX) return "expected at most 1000 options of this kind";
    list[(*count)++] = value;
    return NULL;
}

static const char *take_stream(arguments *a, const char *const *v) {
    return add(a->streams, &a->local.setup.stream_count, v[0]);
}

static const char *take_bucket(arguments *a, const char *const *v) {
    return add(a->buckets, &a->local.setup.bucket_count, v[0]);
}

static const char *take_delivery(arguments *a, const char *const *v) {
    return add(a->delivery, &a->local.setup.delivery_stream_count, v[0]);
}

/* ---- options ---- */

typedef struct option {
    const char *name, *values; /* as in the help */
    int count;                 /* of values: 0, 1, 2 */
    const char *(*take)(arguments *a, const char *const *v);
} option;

static const option options[] = {
    {"--listen", "ADDRESS:PORT", 1, take_listen},
    {"--port-file", "FILE", 1, take_port_file},
    {"--tls", "CERT KEY", 2, take_tls},
    {"--tls-self-signed", "DIR", 1, take_self_signed},
    {"--auth", "verify or off", 1, take_auth},
    {"--dir", "DIR", 1, take_dir},
    {"--seed", "N", 1, take_seed},
    {"--faults", "FILE", 1, take_faults},
    {"--stream", "NAME:SHARDS", 1, take_stream},
    {"--bucket", "NAME", 1, take_bucket},
    {"--delivery-stream", "NAME=BUCKET/PREFIX", 1, take_delivery},
    {"--help", "", 0, NULL},
    {"--version", "", 0, NULL},
};

static const option *find(weir_str name) {
    for (size_t i = 0; i < COUNT(options); i++)
        if (str_eq_z(name, options[i].name)) return &options[i];
    return NULL;
}

static int unknown(weir_str name) {
    weir_str names[COUNT(options)];
    for (size_t i = 0; i < COUNT(options); i++) names[i] = str_of(options[i].name);
    int near = str_nearest(name, names, COUNT(options));
    fprintf(stderr, "weir-local: unknown option '%.*s'", STR_FMT(name));
    if (near >= 0) fprintf(stderr, "; did you mean '%s'?", options[near].name);
    fprintf(stderr, "; see weir-local --help\n");
    return 3;
}

static int lacks(const option *o) {
    fprintf(stderr, "weir-local: %s lacks %s: expected %s %s; see weir-local --help\n", o->name,
            o->count == 2 ? "one of its values" : "its value", o->name, o->values);
    return 3;
}

int options_read(int argc, char **argv, arguments *a) {
    a->local.setup.streams = a->streams;
    a->local.setup.buckets = a->buckets;
    a->local.setup.delivery_streams = a->delivery;
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i], *equals = strchr(word, '=');
        if (strncmp(word, "--", 2) != 0) {
            fprintf(stderr, "weir-local: unexpected argument '%s'; see weir-local --help\n", word);
            return 3;
        }
        weir_str name = equals ? str_make(word, (size_t)(equals - word)) : str_of(word);
        const option *o = find(name);
        if (!o) return unknown(name);
        if (!o->take && equals) {
            fprintf(stderr, "weir-local: %s takes no value; see weir-local --help\n", o->name);
            return 3;
        }
        if (strcmp(o->name, "--help") == 0) return fputs(help, stdout) < 0 ? 2 : 1;
        if (!o->take) return puts("weir-local " WEIR_LOCAL_VERSION) < 0 ? 2 : 1;
        const char *v[2] = {NULL, NULL};
        int n = 0;
        if (equals) v[n++] = equals + 1;
        /* The next option is no value, unless an equals sign says so. */
        while (n < o->count && i + 1 < argc && strncmp(argv[i + 1], "--", 2) != 0)
            v[n++] = argv[++i];
        if (n < o->count) return lacks(o);
        const char *why = o->take(a, v);
        if (!why) continue;
        fprintf(stderr, "weir-local: %s '%s': %s; see weir-local --help\n", o->name, v[0], why);
        return 3;
    }
    return 0;
}
