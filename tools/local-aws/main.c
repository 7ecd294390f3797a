/*
 * weir-local: AWS in one process, for people and tests without an account.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "admin/faults.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/os.h"
#include "base/str.h"
#include "local.h"
#include "server/tls.h"
#include "weir/json.h"

#define LIST_MAX 1000u
#define FAULTS_BYTES_MAX ((size_t)16 << 20)

static const char help[] =
    "usage: weir-local [OPTION]...\n"
    "An AWS endpoint of this machine: for developing and testing without an account.\n"
    "\n"
    "  --listen ADDRESS:PORT        where to listen (127.0.0.1:0; port 0: any free one)\n"
    "  --port-file FILE             write the port to FILE when ready\n"
    "  --tls CERT KEY               speak TLS too, on the same port\n"
    "  --tls-self-signed DIR        the same, with a certificate made in DIR (cert.pem)\n"
    "  --auth verify|off            check signatures (off)\n"
    "  --dir DIR                    begin with what DIR holds, keep everything there at the end\n"
    "  --seed N                     of everything that looks random (1)\n"
    "  --faults FILE                begin with the fault rules of FILE\n"
    "  --stream NAME:SHARDS         a Kinesis stream that is there from the start\n"
    "  --bucket NAME                an S3 bucket\n"
    "  --delivery-stream NAME=BUCKET/PREFIX\n"
    "                               a Firehose stream\n"
    "  --help, --version\n"
    "\n"
    "One line of JSON on standard output says when it is ready and where. SIGTERM and SIGINT end\n"
    "it. Credentials: local / local-secret, account 000000000000, region us-east-1.\n";

typedef struct arguments {
    local_options local;
    const char *streams[LIST_MAX], *buckets[LIST_MAX], *delivery[LIST_MAX];
    const char *port_file, *faults, *self_signed;
    char address[256];
    char cert[4096], key[4096];
} arguments;

static server *running;

static void on_signal(int number) {
    (void)number;
    server_stop(running);
}

static int usage(const char *format, const char *what) {
    fprintf(stderr, "weir-local: ");
    fprintf(stderr, format, what);
    fprintf(stderr, "; see weir-local --help\n");
    return 2;
}

static bool read_listen(arguments *a, const char *value) {
    const char *colon = strrchr(value, ':');
    int64_t port;
    if (!colon || !str_to_i64(str_of(colon + 1), &port) || port < 0 || port > 65535) return false;
    size_t n = (size_t)(colon - value);
    if (n >= 2 && value[0] == '[' && value[n - 1] == ']') value++, n -= 2;
    if (n == 0 || n >= sizeof a->address) return false;
    memcpy(a->address, value, n);
    a->address[n] = 0;
    a->local.server.address = a->address;
    a->local.server.port = (uint16_t)port;
    return true;
}

static bool add(const char **list, uint32_t *count, const char *value) {
    if (*count == LIST_MAX) return false;
    list[(*count)++] = value;
    return true;
}

/* 0 to go on, else the status to end with, plus one. */
static int read_arguments(int argc, char **argv, arguments *a) {
    local_setup *s = &a->local.setup;
    s->streams = a->streams;
    s->buckets = a->buckets;
    s->delivery_streams = a->delivery;
    for (int i = 1; i < argc; i++) {
        const char *o = argv[i];
        if (strcmp(o, "--help") == 0) return fputs(help, stdout) < 0 ? 2 : 1;
        if (strcmp(o, "--version") == 0) return puts("weir-local " WEIR_LOCAL_VERSION) < 0 ? 2 : 1;
        int wanted = strcmp(o, "--tls") == 0 ? 2 : 1;
        if (strncmp(o, "--", 2) != 0) return usage("unexpected argument '%s'", o) + 1;
        const char *v = i + 1 < argc ? argv[i + 1] : NULL;
        bool known = true, ok = v != NULL && i + wanted < argc;
        int64_t n = 0;
        if (strcmp(o, "--listen") == 0)
            ok = ok && read_listen(a, v);
        else if (strcmp(o, "--port-file") == 0)
            a->port_file = v;
        else if (strcmp(o, "--tls") == 0) {
            a->local.server.cert = v;
            a->local.server.key = ok ? argv[i + 2] : NULL;
        } else if (strcmp(o, "--tls-self-signed") == 0)
            a->self_signed = v;
        else if (strcmp(o, "--auth") == 0) {
            ok = ok && (strcmp(v, "verify") == 0 || strcmp(v, "off") == 0);
            a->local.verify = ok && v[0] == 'v';
        } else if (strcmp(o, "--dir") == 0)
            a->local.dir = v;
        else if (strcmp(o, "--seed") == 0) {
            ok = ok && str_to_i64(str_of(v), &n);
            a->local.seed = (uint64_t)n;
        } else if (strcmp(o, "--faults") == 0)
            a->faults = v;
        else if (strcmp(o, "--stream") == 0)
            ok = ok && add(a->streams, &s->stream_count, v);
        else if (strcmp(o, "--bucket") == 0)
            ok = ok && add(a->buckets, &s->bucket_count, v);
        else if (strcmp(o, "--delivery-stream") == 0)
            ok = ok && add(a->delivery, &s->delivery_stream_count, v);
        else
            known = false;
        if (!known) return usage("unknown option '%s'", o) + 1;
        if (!ok) return usage("option '%s' lacks its value or has a bad one", o) + 1;
        i += wanted;
    }
    return 0;
}

static bool read_faults(local *home, const char *path) {
    buf text;
    buf_init(&text, FAULTS_BYTES_MAX);
    weir_error *err = error_new();
    char why[256] = "";
    bool ok = os_read_file(path, FAULTS_BYTES_MAX, &text, err) == WEIR_OK;
    if (!ok) snprintf(why, sizeof why, "%s", error_text(err));
    weir_json_fault fault = {0};
    weir_json_doc *doc = ok ? weir_json_read(buf_str(&text), WEIR_JSON_UNIQUE_KEYS, &fault) : NULL;
    if (ok && !doc)
        snprintf(why, sizeof why, "%s at line %u, column %u", fault.text, fault.line, fault.column);
    ok = doc && faults_read(local_faults(home), weir_json_root(doc), why, sizeof why);
    if (!ok) fprintf(stderr, "weir-local: --faults %s: %s\n", path, why);
    weir_json_free(doc);
    error_free(err);
    buf_free(&text);
    return ok;
}

/* The port file appears whole: who waits for it never reads half a number. */
static bool write_port(const char *path, unsigned port) {
    char temporary[4096];
    int n = snprintf(temporary, sizeof temporary, "%s.%ld", path, (long)getpid());
    if (n < 0 || (size_t)n >= sizeof temporary) return false;
    FILE *f = fopen(temporary, "w");
    if (!f) return false;
    bool ok = fprintf(f, "%u\n", port) > 0;
    if (fclose(f) != 0) ok = false;
    return ok && rename(temporary, path) == 0;
}

static bool announce(const arguments *a, local *home) {
    unsigned port = server_port(local_server(home));
    const char *address = a->local.server.address ? a->local.server.address : "127.0.0.1";
    const char *open = strchr(address, ':') ? "[" : "", *close = *open ? "]" : "";
    const local_options *o = local_settings(home);
    buf b;
    buf_init(&b, (size_t)64 << 10);
    buf_printf(&b, "{\"endpoint\": \"http://%s%s%s:%u\"", open, address, close, port);
    if (o->server.cert)
        buf_printf(&b, ", \"tls_endpoint\": \"https://%s%s%s:%u\"", open, address, close, port);
    if (o->server.cert) {
        buf_append_z(&b, ", \"certificate\": ");
        buf_append_json(&b, str_of(o->server.cert));
    }
    buf_printf(
        &b,
        ", \"port\": %u, \"region\": \"%s\", \"account\": \"%s\", \"auth\": \"%s\", \"pid\": %ld}\n",
        port, o->region, o->account, o->verify ? "verify" : "off", (long)getpid());
    bool ok = buf_ok(&b);
    if (ok && a->port_file && !write_port(a->port_file, port)) {
        fprintf(stderr, "weir-local: cannot write '%s': %s\n", a->port_file, strerror(errno));
        ok = false;
    }
    ok = ok && fwrite(b.data, 1, b.len, stdout) == b.len && fflush(stdout) == 0;
    buf_free(&b);
    return ok;
}

static bool make_dir(const char *path) {
    weir_error *err = error_new();
    bool ok = os_make_dirs(path, 0700, err) == WEIR_OK;
    if (!ok) fprintf(stderr, "weir-local: --dir: %s\n", error_text(err));
    error_free(err);
    return ok;
}

int main(int argc, char **argv) {
    static arguments a;
    a.local.seed = 1;
    int status = read_arguments(argc, argv, &a);
    if (status) return status - 1;
    char error[1024] = "";
    if (a.self_signed) {
        if (!tls_self_signed(a.self_signed, error, sizeof error)) {
            fprintf(stderr, "weir-local: %s\n", error);
            return 1;
        }
        snprintf(a.cert, sizeof a.cert, "%s/cert.pem", a.self_signed);
        snprintf(a.key, sizeof a.key, "%s/key.pem", a.self_signed);
        a.local.server.cert = a.cert;
        a.local.server.key = a.key;
    }
    if (a.local.dir && !make_dir(a.local.dir)) return 1;
    local *home = local_new(&a.local, error, sizeof error);
    if (!home) {
        fprintf(stderr, "weir-local: %s\n", error);
        return 1;
    }
    running = local_server(home);
    struct sigaction act = {.sa_handler = on_signal};
    sigaction(SIGTERM, &act, NULL);
    sigaction(SIGINT, &act, NULL);
    bool ok = (!a.faults || read_faults(home, a.faults)) && announce(&a, home);
    if (ok) {
        server_run(running);
        ok = local_save(home, error, sizeof error);
        if (!ok) fprintf(stderr, "weir-local: %s\n", error);
    }
    local_free(home);
    return ok ? 0 : 1;
}
