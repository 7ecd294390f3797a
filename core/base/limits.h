/*
 * core/base/limits.h - every limit of the core, in one place, with its reason.
 */
#ifndef WEIR_BASE_LIMITS_H
#define WEIR_BASE_LIMITS_H

#define KIB (UINT64_C(1) << 10)
#define MIB (UINT64_C(1) << 20)

/* A manifest: people write it; 1 MiB is some 20,000 lines. */
#define LIMIT_MANIFEST_BYTES (1 * MIB)
/* Nodes of one parsed document, aliases expanded: an alias bomb ends here. */
#define LIMIT_TREE_NODES 100000u
/* Nesting of a document: the deepest option has five levels; recursion in the core is bounded. */
#define LIMIT_TREE_DEPTH 64u
/* Memory of one parsed document with its text. */
#define LIMIT_TREE_BYTES (64 * MIB)
/* Errors reported of one manifest; more of them are summed up in one line. */
#define LIMIT_DIAGS 100u
/* A value that ${file:...} or ${env:...} brings in. */
#define LIMIT_REFERENCE_BYTES (64 * KIB)
/* What stands in a reference behind its colon: the key of an S3 object has at most 1,024. */
#define LIMIT_REFERENCE_NAME_BYTES 2048u
/* Nodes of a pipeline, and tasks (threads) over all of them. */
#define LIMIT_NODES 1000u
#define LIMIT_PARALLELISM 1024u
#define LIMIT_TASKS 4096u
/* plugin.json in an ELF note (WEIR_NOTE_BYTES_MAX) and how far into a file headers are looked for.
 */
#define LIMIT_ELF_SECTIONS 4096u
/* A node name: it becomes a metric label and a file name. */
#define LIMIT_NAME_BYTES 128u
/* Splits of one source: 10,000 shards are the largest streams there are, times ten. */
#define LIMIT_SPLITS 100000u
#define LIMIT_SPLIT_ID_BYTES 255u
#define LIMIT_SPLIT_PRIVATE_BYTES 4096u
/* Parents of one split: a merge has two; who knows what else splits and merges. */
#define LIMIT_SPLIT_PARENTS 64u
/* State of one node in a checkpoint: a blob or two for each split, and one blob by itself, such as
 * the tail of an upload that is smaller than a part (5 MiB at S3) several times over. */
#define LIMIT_STATE_BLOBS 200000u
#define LIMIT_STATE_BLOB_BYTES (64 * MIB)
/* Prepared and not committed, over all epochs and instances of a node: a file a split and epoch. */
#define LIMIT_COMMITTABLES 1000000u
#define LIMIT_COMMITTABLE_BYTES (1 * MIB)
/* State by key: names of one key, such as the windows that are open, and one value. All keys of a
 * group are one blob of state. */
#define LIMIT_KEYED_NAMES 256u
#define LIMIT_KEYED_NAME_BYTES 255u
#define LIMIT_KEYED_VALUE_BYTES (16 * MIB)
/* Versions, ids and names inside a checkpoint. */
#define LIMIT_STATE_TEXT_BYTES 255u
/* Records of one batch: indexes fit 32 bits with room for 1:N decoding. */
#define LIMIT_BATCH_RECORDS (1u << 20)
/* A task that is inside one call of a plugin for so long hangs: polls and drives have deadlines of
 * seconds, and the slowest of what may take longer is to sync a file of some GiB. */
#define LIMIT_PLUGIN_CALL_S 300
/* Text of one error. */
#define LIMIT_ERROR_BYTES (8 * KIB)
/* A template or a text that one evaluates to. */
#define LIMIT_TEMPLATE_BYTES (64 * KIB)

#endif
