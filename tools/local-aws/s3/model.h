/*
 * s3/model.h - buckets, objects and uploads.
 *
 *   s3 ── buckets by name ── objects by key ── content (extents of blobs), parts, what was said
 *                        └── uploads by key, then in the order in which they began ── parts
 *
 * Everything belongs to what it hangs on; texts are owned and NUL-terminated unless noted.
 */
#ifndef WEIR_LOCAL_S3_MODEL_H
#define WEIR_LOCAL_S3_MODEL_H

#include "local.h"
#include "s3/checksum.h"
#include "s3/sorted.h"

/* Limits of the service; those that a test may scale down are settings, below. */
#define S3_KEY_BYTES_MAX 1024u
#define S3_METADATA_BYTES_MAX 2048u
#define S3_TAGS_MAX 10u
#define S3_TAG_KEY_MAX 128u /* characters */
#define S3_TAG_VALUE_MAX 256u
#define S3_PAGE_MAX 1000u
#define S3_BUCKETS_PAGE_MAX 10000u
#define S3_DELETE_MAX 1000u
/* A list of 10,000 parts with their checksums takes 3 MiB. */
#define S3_DOCUMENT_BYTES_MAX ((size_t)16 << 20)
#define S3_PUT_BYTES_MAX (UINT64_C(5) << 30)
#define S3_PART_MIN_BYTES (UINT64_C(5) << 20)
#define S3_PARTS_MAX 10000u
/* How long a finished upload is remembered, so that the same CompleteMultipartUpload again gives
 * the same answer. */
#define S3_COMPLETED_MS (10 * 60 * 1000)
#define S3_COMPLETED_MAX 1000u

#define S3_ETAG_TEXT 48u /* 32 hex digits, "-10000", a NUL; without quotes */
#define S3_UPLOAD_ID_TEXT 80u
#define S3_REGION_TEXT 64u
#define S3_WORD_TEXT 32u

typedef struct s3_field {
    char *name, *value;
} s3_field;

/* Names and values in the order in which they came. */
typedef struct s3_fields {
    s3_field *items;
    uint32_t count;
} s3_fields;

bool s3_fields_add(s3_fields *f, weir_str name, weir_str value); /* copies; false: no memory */
const char *s3_fields_get(const s3_fields *f, const char *name); /* NULL: none */
bool s3_fields_copy(s3_fields *out, const s3_fields *from);
void s3_fields_free(s3_fields *f);

typedef enum s3_encryption {
    S3_ENCRYPT_S3,   /* AES256, by the service's own keys: the default */
    S3_ENCRYPT_KMS,  /* aws:kms */
    S3_ENCRYPT_DSSE, /* aws:kms:dsse */
    S3_ENCRYPT_CUSTOMER,
} s3_encryption;

/* What a client says of an object when it writes it, and hears again when it reads it. */
typedef struct s3_said {
    s3_fields headers; /* content-type ... x-amz-meta-*, lower-case names */
    s3_fields tags;
    char storage_class[S3_WORD_TEXT]; /* "STANDARD" */
    s3_encryption encryption;
    char *kms_key, *kms_context; /* NULL: none */
    bool bucket_key;
    char customer_md5[32]; /* base64 of the customer key's MD5 */
} s3_said;

bool s3_said_copy(s3_said *out, const s3_said *from);
void s3_said_free(s3_said *s);

typedef struct s3_part {
    uint32_t number;
    s3_content content; /* empty in an object, whose own content it is then a piece of */
    uint64_t size;
    char etag[S3_ETAG_TEXT];
    checksum sum;
    checksum crc; /* CRC64NVME, kept when `sum` is none */
    int64_t modified_ms;
} s3_part;

typedef struct s3_object {
    weir_str key; /* first: see sorted.h */
    s3_content content;
    s3_part *parts; /* of an upload in parts, else NULL */
    uint32_t part_count;
    char etag[S3_ETAG_TEXT];
    checksum sum;
    int64_t modified_ms;
    s3_said said;
} s3_object;

typedef struct s3_upload {
    weir_str key; /* first */
    char id[S3_UPLOAD_ID_TEXT];
    int64_t initiated_ms;
    sum_algorithm algorithm; /* SUM_NONE: the client named none */
    bool composite;
    s3_part *parts; /* by number */
    uint32_t part_count, part_room;
    s3_said said;
} s3_upload;

typedef struct s3_bucket {
    weir_str name; /* first */
    char region[S3_REGION_TEXT];
    int64_t created_ms;
    sorted objects, uploads;
} s3_bucket;

/* An upload that is done, and what its answer said. */
typedef struct s3_completed {
    char id[S3_UPLOAD_ID_TEXT];
    char etag[S3_ETAG_TEXT];
    int64_t at_ms;
} s3_completed;

typedef struct s3 {
    local *home;
    sorted buckets;
    uint64_t upload_number;  /* goes into ids, so that they rise */
    s3_completed *completed; /* a ring of S3_COMPLETED_MAX */
    uint32_t completed_next;
    /* settings: POST /_weir/s3 */
    uint64_t part_min_bytes;
    uint32_t parts_max;
    int64_t completed_ms;
    bool redirects; /* a wrong region is answered 301, not 400 */
} s3;

int64_t s3_now(const s3 *s);

/* All of these: NULL or false without memory. */
s3_bucket *s3_bucket_new(weir_str name, weir_str region, int64_t created_ms);
void s3_bucket_free(s3_bucket *b);
/* NULL: there is none. */
s3_bucket *s3_bucket_get(const s3 *s, weir_str name);
bool s3_bucket_name_ok(weir_str name);

s3_object *s3_object_new(weir_str key, int64_t now_ms);
void s3_object_free(s3_object *o);
s3_object *s3_object_get(const s3_bucket *b, weir_str key);
/* Becomes the bucket's, in place of one of that key; freed on failure. */
bool s3_object_store(s3_bucket *b, s3_object *o);
/* The ETag of an object or part: MD5, or something random where the service encrypts with keys that
 * are not its own. */
void s3_etag(s3 *s, const s3_said *said, const s3_content *c, char out[S3_ETAG_TEXT]);

s3_upload *s3_upload_new(s3 *s, weir_str key);
void s3_upload_free(s3_upload *u);
/* Where it stands in b->uploads, or SIZE_MAX. */
size_t s3_upload_find(const s3_bucket *b, weir_str key, weir_str id);
void s3_upload_drop(s3_bucket *b, size_t at);
s3_part *s3_upload_part(const s3_upload *u, uint32_t number);
/* Becomes the upload's, in place of one of that number; freed on failure. */
bool s3_upload_store(s3_upload *u, s3_part *p);
void s3_part_free(s3_part *p);

/* Remembers that upload `id` became an object with that ETag; and looks: NULL, or that ETag. */
void s3_completed_add(s3 *s, const char *id, const char *etag);
const char *s3_completed_get(const s3 *s, weir_str id);

bool s3_save(void *own, keep *out);
bool s3_load(void *own, keep *in);

#endif
