#include "server/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/internal.h"

static int choose(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                  const unsigned char *in, unsigned in_len, void *opaque) {
    (void)ssl;
    (void)opaque;
    static const unsigned char known[] = "\x02h2\x08http/1.1";
    unsigned char *chosen;
    if (SSL_select_next_proto(&chosen, out_len, known, sizeof known - 1, in, in_len) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

SSL_CTX *tls_context(const char *cert, const char *key, char *error, size_t error_size) {
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (!ctx) {
        snprintf(error, error_size, "cannot set up TLS: out of memory");
        return NULL;
    }
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_options(ctx, SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_alpn_select_cb(ctx, choose, NULL);
    const char *bad = NULL;
    if (SSL_CTX_use_certificate_chain_file(ctx, cert) != 1)
        bad = cert;
    else if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
        bad = key;
    if (!bad) return ctx;
    const char *why = ERR_reason_error_string(ERR_peek_last_error());
    snprintf(error, error_size,
             "cannot use '%s' for TLS: %s; expected PEM, the key being the "
             "certificate's",
             bad, why ? why : "unreadable");
    ERR_clear_error();
    SSL_CTX_free(ctx);
    return NULL;
}

static bool add_extension(X509 *cert, int nid, const char *value) {
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, cert, cert, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    bool ok = e && X509_add_ext(cert, e, -1) == 1;
    X509_EXTENSION_free(e);
    return ok;
}

static X509 *make_certificate(EVP_PKEY *key) {
    X509 *cert = X509_new();
    if (!cert) return NULL;
    uint64_t serial = 0;
    X509_NAME *name = X509_get_subject_name(cert);
    bool ok = RAND_bytes((unsigned char *)&serial, sizeof serial) == 1 &&
              X509_set_version(cert, X509_VERSION_3) == 1 &&
              ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert), serial >> 1 | 1) == 1 &&
              X509_gmtime_adj(X509_getm_notBefore(cert), -86400L) &&
              X509_gmtime_adj(X509_getm_notAfter(cert), 315360000L) &&
              X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                         (const unsigned char *)"weir-local", -1, -1, 0) == 1 &&
              X509_set_issuer_name(cert, name) == 1 && X509_set_pubkey(cert, key) == 1 &&
              add_extension(cert, NID_basic_constraints, "critical,CA:TRUE") &&
              add_extension(cert, NID_subject_key_identifier, "hash") &&
              add_extension(cert, NID_key_usage, "critical,digitalSignature,keyCertSign") &&
              add_extension(cert, NID_ext_key_usage, "serverAuth") &&
              add_extension(cert, NID_subject_alt_name,
                            "DNS:localhost,DNS:*.localhost,IP:127.0.0.1,IP:::1") &&
              X509_sign(cert, key, EVP_sha256()) > 0;
    if (ok) return cert;
    X509_free(cert);
    return NULL;
}

static FILE *create(const char *path, unsigned mode) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    return fd < 0 ? NULL : fdopen(fd, "w");
}

bool tls_self_signed(const char *dir, char *error, size_t error_size) {
    char cert_path[4096], key_path[4096];
    int a = snprintf(cert_path, sizeof cert_path, "%s/cert.pem", dir);
    int b = snprintf(key_path, sizeof key_path, "%s/key.pem", dir);
    if (a < 0 || b < 0 || (size_t)a >= sizeof cert_path) {
        snprintf(error, error_size, "the path '%.64s...' is too long", dir);
        return false;
    }
    if (access(cert_path, R_OK) == 0 && access(key_path, R_OK) == 0) return true;
    if (mkdir(dir, 0700) != 0 && errno != EEXIST) {
        snprintf(error, error_size, "cannot make the folder '%s': %s", dir, strerror(errno));
        return false;
    }
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = key ? make_certificate(key) : NULL;
    FILE *key_file = cert ? create(key_path, 0600) : NULL;
    FILE *cert_file = key_file ? create(cert_path, 0644) : NULL;
    bool ok = cert_file && PEM_write_PrivateKey(key_file, key, NULL, NULL, 0, NULL, NULL) == 1 &&
              PEM_write_X509(cert_file, cert) == 1;
    if (key_file && fclose(key_file) != 0) ok = false;
    if (cert_file && fclose(cert_file) != 0) ok = false;
    if (!ok)
        snprintf(error, error_size, "cannot write a certificate to '%s': %s", dir, strerror(errno));
    X509_free(cert);
    EVP_PKEY_free(key);
    return ok;
}
