/*
 * tools/local-aws/aws/credentials.h - who may sign: access keys with their secrets, maybe a session
 * token and an end. Belongs to struct local; one thread.
 */
#ifndef WEIR_LOCAL_CREDENTIALS_H
#define WEIR_LOCAL_CREDENTIALS_H

#include "base/buf.h"
#include "weir/types.h"

typedef struct credential {
    buf secret, token;  /* no token: empty */
    int64_t expires_ms; /* server_now_ms */
} credential;

struct credentials;
struct credentials *credentials_new(void); /* NULL without memory */
void credentials_free(struct credentials *c);
/* An access key that is there is replaced. An empty token: none is needed, none may come.
 * All copied; false without memory. */
bool credentials_add(struct credentials *c, weir_str access_key, weir_str secret, weir_str token,
                     int64_t expires_ms);
void credentials_remove(struct credentials *c, weir_str access_key);
/* Calls the key expired whatever its end, until it is added anew or credentials_revive; also keys
 * that are not known here, since a server that checks no signatures knows none. */
void credentials_expire(struct credentials *c, weir_str access_key);
void credentials_revive(struct credentials *c);
bool credentials_expired(const struct credentials *c, weir_str access_key);
/* NULL if nobody has it; valid until the keys are changed. */
const credential *credentials_find(const struct credentials *c, weir_str access_key);

#endif
