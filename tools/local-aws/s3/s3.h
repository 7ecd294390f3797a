/*
 * tools/local-aws/s3/s3.h - what other services do with S3: Firehose delivers into it.
 */
#ifndef WEIR_LOCAL_S3_H
#define WEIR_LOCAL_S3_H

#include "local.h"

/* An object as PutObject stores it: in place of one of that key, with the ETag and the checksum
 * that the service computes. The bytes are copied. False if there is no such bucket, or no memory.
 */
bool s3_put(local *home, weir_str bucket, weir_str key, weir_str bytes, weir_str content_type);
bool s3_has_bucket(local *home, weir_str bucket);

#endif
