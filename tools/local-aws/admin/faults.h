/*
 * tools/local-aws/admin/faults.h - how the endpoint misbehaves, by rules that tests set.
 *
 * A rule names requests (service, operation, every n-th, the first k, a share by the seed) and what
 * happens to them. Rules are asked in order; the first that takes a request is its fault. Their
 * JSON is described in README.md. The statistics are here too, since they are taken at the same
 * door.
 */
#ifndef WEIR_LOCAL_FAULTS_H
#define WEIR_LOCAL_FAULTS_H

#include "aws/aws.h"
#include "base/buf.h"
#include "local.h"
#include "weir/value.h"

struct faults *faults_new(local *home);
void faults_free(struct faults *f);
/* {"rules": [...]}: replaces all rules. False with a text that names the rule. */
bool faults_read(struct faults *f, const weir_value *root, char *error, size_t error_size);
void faults_clear(struct faults *f);
void faults_write(const struct faults *f, buf *out); /* the rules' hits as JSON */
struct journal;
struct journal *faults_journal(struct faults *f);

/* The one door through which each service lets each request of `operation`, once it knows that
 * name. False: a fault has answered (or will), the caller is done with x. A delayed request comes
 * back through `again(opaque, x)`, in which the same question is answered with true. True: serve
 * it; cuts, pace and the counting are set on x. */
bool faults_meet(local *home, exchange *x, const char *service, const char *operation,
                 void (*again)(void *opaque, exchange *x), void *opaque);

/* What a rule wants of one record of a request (PutRecords, PutRecordBatch): the code that it is to
 * fail with, or NULL. `index` from 0; asked once a record. */
const char *faults_record(exchange *x, uint32_t index);
/* The order in which a batch is stored, as indexes into it: 0, 1, 2 ... unless a rule says
 * otherwise. `order` has room for `count`. */
void faults_order(exchange *x, uint32_t *order, uint32_t count);
/* The value of a numeric member of this request's rule under "stream" (for what only one service
 * knows: "bad_crc_at", "silent_after", ...), or `otherwise`. */
int64_t faults_number(const exchange *x, const char *name, int64_t otherwise);
/* The same for a text of at most 127 bytes, which lives as long as the exchange. */
const char *faults_text(exchange *x, const char *name, const char *otherwise);

/* For who writes event streams: the payload of a frame in the form that a rule wants (true: it is
 * in `out`, which the caller gives and frees), and the frame itself, which a rule may break (true:
 * nothing may follow it). */
bool faults_payload(exchange *x, aws_encoding encoding, weir_str payload, buf *out);
bool faults_frame(exchange *x, uint64_t number, buf *frame);
/* What the canonical request of a signature that did not match should have been, for the journal.
 */
void faults_canonical(const exchange *x, weir_str text);

struct stats *stats_new(void);
void stats_free(struct stats *s);
void stats_reset(struct stats *s);
void stats_count(struct stats *s, const char *service, const char *operation, unsigned status,
                 uint64_t bytes_in, uint64_t bytes_out);
void stats_write(const struct stats *s, buf *out);

#endif
