/*
 * tools/local-aws/aws/verify.h - Signature Version 4, as the one who checks it sees it.
 *
 * Written from the published description alone and without a look at the client's signer
 * (sdk/aws/sigv4.c), so that an error in one is not an error in both.
 */
#ifndef WEIR_LOCAL_VERIFY_H
#define WEIR_LOCAL_VERIFY_H

#include "aws/aws.h"
#include "aws/credentials.h"

/* The check itself, apart from any server. `now_ms` is the time that dates are held against
 * (server_told_ms), `services_ms` the one that credentials end by (server_now_ms). `scope_service`
 * NULL: any service. With `canonical` not NULL it gets the canonical request. */
aws_auth verify_request(struct credentials *c, const server_request *r, const char *scope_service,
                        int64_t now_ms, int64_t services_ms, aws_identity *out, buf *canonical);
/* Only who the request says it is from: for a server that does not check. */
void verify_read(const server_request *r, aws_identity *out);

/* "Thu, 15 Jan..." is not read; "20260115T123045Z" is. False if it is none. */
bool verify_time_ms(weir_str text, int64_t *out);

#endif
