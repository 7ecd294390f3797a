/* The parser's loop for CPUs with AVX2. */
#include "json_private.h"

#if JSON_HAVE_AVX2
#include "scan.h"

#define PARSE_NAME json_parse_avx2
#define PARSE_TARGET JSON_AVX2
#define PARSE_SCAN scan_string_avx2
#define PARSE_UTF8 json_utf8_run_avx2
#define PARSE_AVX2 1
#include "parse_body.h"
#endif
