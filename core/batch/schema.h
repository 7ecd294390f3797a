/*
 * core/batch/schema.h - refcounted schema handles: type, canonical text, fingerprint.
 *
 * Handles live on their own, as serdes cache them across batches; a tape holds references to those
 * its rows name. They are few, so they are not charged. [any]
 */
#ifndef WEIR_BATCH_SCHEMA_H
#define WEIR_BATCH_SCHEMA_H

#include "weir/types.h"

weir_schema *schema_new(weir_ctx *ctx, weir_str type, weir_str text, weir_str fingerprint);
void schema_retain(const weir_schema *schema);
void schema_release(const weir_schema *schema);
weir_str schema_type(const weir_schema *schema);
weir_str schema_text(const weir_schema *schema);
weir_str schema_fingerprint(const weir_schema *schema);

#endif
