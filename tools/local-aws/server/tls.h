/*
 * server/tls.h - a certificate of one's own.
 */
#ifndef WEIR_LOCAL_TLS_H
#define WEIR_LOCAL_TLS_H

#include <stdbool.h>
#include <stddef.h>

/* Makes `dir` with cert.pem and key.pem (P-256, ten years; localhost, *.localhost, 127.0.0.1, ::1)
 * unless they are there. The certificate is its own authority: clients trust cert.pem. False with a
 * text in `error`. */
bool tls_self_signed(const char *dir, char *error, size_t error_size);

#endif
