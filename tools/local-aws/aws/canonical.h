/*
 * tools/local-aws/aws/canonical.h - the canonical request of Signature Version 4: the text whose
 * hash is signed. Private to verify.c, and like it written without a look at the client's signer.
 */
#ifndef WEIR_LOCAL_CANONICAL_H
#define WEIR_LOCAL_CANONICAL_H

#include "base/buf.h"
#include "server/server.h"

/* Appends it to `out`. `s3`: by that service's rules; `presigned`: the signature is in the query
 * and not part of it; `signed_headers` is the list that the request names. False: what is to be
 * signed cannot be told, *why is a static text if it is the request's fault. */
bool canonical_request(const server_request *r, bool s3, bool presigned, weir_str signed_headers,
                       buf *out, const char **why);

#endif
