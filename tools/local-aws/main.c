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
#include "options.h"
#include "server/tls.h"
#include "weir/json.h"

#define FAULTS_BYTES_MAX ((size_t)16 << 20)

static server *running;

static void on_signal(int number) {
    (void)number;
    server_stop(running);
}

/* HTTP begins with a letter, TLS with a byte that is none: the client was told https. */
static void on_tls_without_certificate(void) {
    fprintf(stderr, "weir-local: a client spoke TLS, but there is no certificate: start with "
                    "--tls-self-signed DIR, or use http://\n");
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
    static char cert[4096], key[4096];
    a.local.seed = 1;
    a.local.server.on_tls_without_certificate = on_tls_without_certificate;
    int status = options_read(argc, argv, &a);
    if (status) return status - 1;
    char error[1024] = "";
    if (a.self_signed) {
        if (!tls_self_signed(a.self_signed, error, sizeof error)) {
            fprintf(stderr, "weir-local: %s\n", error);
            return 1;
        }
        snprintf(cert, sizeof cert, "%s/cert.pem", a.self_signed);
        snprintf(key, sizeof key, "%s/key.pem", a.self_signed);
        a.local.server.cert = cert;
        a.local.server.key = key;
    }
    if (a.local.dir && !make_dir(a.local.dir)) return 1;
    local *home = local_new(&a.local, error, sizeof error);
    if (!home && errno == EINVAL) {
        fprintf(stderr, "weir-local: %s; see weir-local --help\n", error);
        return 2;
    }
    if (!home) {
        fprintf(stderr, "weir-local: %s\n", error);
        return 1;
    }
    if (error[0]) fprintf(stderr, "weir-local: note: %s\n", error);
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
