/*
 * plugins/aws/secret_id.h - ID:FIELD taken apart.
 *
 *   db                                           the whole secret
 *   db:password                                  a member of it
 *   arn:aws:secretsmanager:R:A:secret:db-x1      the whole secret
 *   arn:aws:secretsmanager:R:A:secret:db-x1:password
 *
 * Names of secrets hold no colon and ARNs have six, so there is one way to read each text.
 */
#ifndef AWS_SECRET_ID_H
#define AWS_SECRET_ID_H

#include "weir/types.h"

typedef struct secret_id {
    weir_str id;     /* name or ARN */
    weir_str field;  /* empty: the whole */
    weir_str region; /* of the ARN, else empty */
} secret_id;

/* The parts point into `text`. 0 if it is neither. */
int secret_id_parse(weir_str text, secret_id *out);

#endif
