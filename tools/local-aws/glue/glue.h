/*
 * glue/glue.h - the Glue Schema Registry: registries hold schemas, schemas hold versions.
 *
 *     registry "default-registry"
 *       schema "orders"            format, compatibility, checkpoint
 *         version 1  id (UUID)     definition, canonical form, status, metadata
 *         version 2  ...
 *
 * What is deleted is DELETING for GLUE_CHANGE_MS and then gone; there is no timer for it: every
 * operation first sweeps what is due. Everything is found from struct glue; one thread.
 */
#ifndef WEIR_LOCAL_GLUE_H
#define WEIR_LOCAL_GLUE_H

#include "aws/parts.h"
#include "base/map.h"

#define GLUE_CHANGE_MS 100          /* DELETING lasts so long */
#define GLUE_NAME_MAX 255u          /* the API's model, as the four that follow */
#define GLUE_DEFINITION_MAX 170000u /* characters */
#define GLUE_DESCRIPTION_MAX 2048u  /* bytes */
#define GLUE_METADATA_KEY_MAX 128u
#define GLUE_METADATA_VALUE_MAX 256u
#define GLUE_TAGS_MAX 50u
#define GLUE_METADATA_MAX 10u /* pairs of a version; the service's quotas, as what follows */
#define GLUE_REGISTRIES_MAX 100u
#define GLUE_VERSIONS_MAX 10000u /* of all schemas together */
#define GLUE_NUMBER_MAX 100000   /* of a version; the API's model */
#define GLUE_DEFAULT_REGISTRY "default-registry"
#define GLUE_PLACE_MAX (2 * GLUE_NAME_MAX + 1) /* REGISTRY/SCHEMA */
#define GLUE_TIME_TEXT 32

typedef enum glue_format { GLUE_AVRO, GLUE_JSON, GLUE_PROTOBUF, GLUE_FORMATS } glue_format;
typedef enum glue_status { GLUE_AVAILABLE, GLUE_PENDING, GLUE_FAILURE, GLUE_DELETING } glue_status;
enum { GLUE_COMPATIBILITIES = 8, GLUE_DISABLED = 1 };
extern const char *const glue_format_names[GLUE_FORMATS];
extern const char *const glue_status_names[4];
extern const char *const glue_compatibility_names[GLUE_COMPATIBILITIES];

typedef struct metadata {
    struct metadata *next;
    char *key, *value;
    int64_t created_ms;
} metadata;

typedef struct version {
    struct schema *of;
    char id[37];
    int64_t number;
    char *definition, *canonical;
    size_t definition_len, canonical_len;
    glue_status status, outcome; /* outcome: what PENDING becomes */
    int64_t polls;               /* PENDING answers that are left */
    int64_t created_ms, gone_ms; /* gone_ms: DELETING until then; 0: not deleted */
    metadata *metadata;          /* in the order in which it came */
    uint32_t metadata_count;
} version;

typedef struct schema {
    struct registry *of;
    char *name, *arn, *description; /* description NULL: none */
    glue_format format;
    int compatibility;
    int64_t checkpoint, next; /* version numbers; checkpoint 0: no version yet */
    int64_t created_ms, updated_ms, gone_ms;
    aws_tags tags;
    version **versions; /* by number, those not yet gone */
    uint32_t count, room;
} schema;

typedef struct registry {
    struct glue *of;
    char *name, *arn, *description;
    int64_t created_ms, updated_ms, gone_ms;
    aws_tags tags;
    map *schemas; /* by name */
} registry;

typedef struct glue {
    local *home;
    map *registries;  /* by name */
    map *versions;    /* by id */
    uint32_t leaving; /* how many things are DELETING */
    int64_t pending_polls;
    glue_status outcome;
} glue;

extern const aws_exception GLUE_NOT_FOUND, GLUE_EXISTS, GLUE_INVALID, GLUE_LIMIT, GLUE_CONFLICT,
    GLUE_INTERNAL;

static inline int64_t glue_now(const glue *g) {
    return server_now_ms(local_server(g->home));
}

/* ---- the model (glue.c) ---- */

/* NULL without memory; it is in the map. */
registry *registry_new(glue *g, weir_str name);
void registry_free(registry *r); /* takes its schemas with it; not out of the map */
schema *schema_new(registry *r, weir_str name);
void schema_free(schema *s);
/* A version behind the others, its text copied. NULL without memory. */
version *version_new(schema *s, weir_str definition, weir_str canonical);
void version_free(version *v);
bool version_add_metadata(version *v, weir_str key, weir_str value, int64_t created_ms);
/* Drops what has been DELETING for long enough. */
void glue_sweep(glue *g);
void glue_leave(glue *g, int64_t *gone_ms); /* DELETING from now on */
bool schema_leaves(const schema *s);        /* it is DELETING, or its registry is */
glue_status version_status(const version *v);
version *schema_version(const schema *s, int64_t number); /* NULL if there is none */
version *schema_latest(const schema *s);
version *schema_by_canonical(const schema *s, weir_str canonical);
/* "2026-01-15T12:30:45.123Z" */
void glue_time(int64_t ms, char out[GLUE_TIME_TEXT]);
void glue_out_time(aws_out *o, const char *name, int64_t ms);

bool glue_save(void *own, keep *out);
bool glue_load(void *own, keep *in);

/* ---- reading requests (input.c): false or NULL, and the call has failed ---- */

bool glue_name(aws_call *call, const weir_value *object, const char *member, const char *parameter,
               weir_str *out); /* ptr NULL if absent */
bool glue_description(aws_call *call, weir_str *out);
bool glue_definition(aws_call *call, weir_str *out);
bool glue_choice(aws_call *call, const char *member, const char *const *names, int count,
                 const char *text, int *out); /* -1 if absent */
/* RegistryId: the registry; absent with `otherwise`: the default one, made if it must be. */
registry *glue_registry(aws_call *call, bool otherwise);
/* SchemaId; with `usable` one that is DELETING is not found. */
schema *glue_schema(aws_call *call, bool usable);
/* EntityNotFoundException about a version of `s`; `number` 0: by definition or as the latest. */
void glue_no_version(aws_call *call, const schema *s, int64_t number, bool latest);
void glue_no_memory(aws_call *call);
/* SchemaVersionId, or SchemaId and SchemaVersionNumber. */
version *glue_version(aws_call *call);
/* The version that `member` (SchemaVersionNumber) names. */
version *glue_numbered(aws_call *call, schema *s, const char *member);
/* "Tags" and the like: an object of texts, checked and added. */
bool glue_add_tags(aws_call *call, aws_tags *t, const char *member);
void glue_out_tags(aws_out *o, const aws_tags *t);

/* Paging: at most `limit` entries behind `after`, from MaxResults (1 to `max`) and NextToken. */
typedef struct page {
    int64_t limit;
    char after[GLUE_PLACE_MAX + 1]; /* the last one given; "": from the beginning */
} page;
bool glue_page(aws_call *call, int64_t max, page *out);
void glue_out_token(aws_call *call, weir_str last);
/* The values of `m` in the order of their names, in the call's memory; NULL without memory. */
void **glue_sorted(aws_call *call, const map *m, const char *after, size_t *count);

/* ---- definitions (definition.c) ---- */

/* What two texts of the same definition have in common: JSON without white space between tokens;
 * Protocol Buffers without white space and comments. In `memory`; ptr NULL without
 * memory. */
weir_str glue_canonical(arena *memory, glue_format format, weir_str definition);
/* False with a reason. */
bool glue_is_valid(glue_format format, weir_str definition, char *why, size_t why_size);
/* A JSON patch from `a` to `b`, both valid; false without memory or beyond the buffer's limit. */
bool glue_diff(glue_format format, weir_str a, weir_str b, buf *out);

/* ---- operations, by file ---- */

void glue_create_registry(aws_call *call);
void glue_get_registry(aws_call *call);
void glue_list_registries(aws_call *call);
void glue_update_registry(aws_call *call);
void glue_delete_registry(aws_call *call);
void glue_tag_resource(aws_call *call);
void glue_untag_resource(aws_call *call);
void glue_get_tags(aws_call *call);
void glue_create_schema(aws_call *call);
void glue_get_schema(aws_call *call);
void glue_list_schemas(aws_call *call);
void glue_update_schema(aws_call *call);
void glue_delete_schema(aws_call *call);
void glue_register_version(aws_call *call);
void glue_get_version(aws_call *call);
void glue_get_by_definition(aws_call *call);
void glue_list_versions(aws_call *call);
void glue_delete_versions(aws_call *call);
void glue_versions_diff(aws_call *call);
void glue_check_validity(aws_call *call);
void glue_put_metadata(aws_call *call);
void glue_remove_metadata(aws_call *call);
void glue_query_metadata(aws_call *call);

/* Registers `definition` (checked here) as the next version of `s`, or finds it. NULL: the call
 * has failed. */
version *glue_register(aws_call *call, schema *s, weir_str definition);

#endif
