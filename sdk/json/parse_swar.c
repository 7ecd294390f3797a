/* The parser's loop for any CPU. */
#include "json_private.h"
#include "scan.h"

#define PARSE_NAME json_parse_swar
#define PARSE_TARGET
#define PARSE_SCAN scan_string_swar
#define PARSE_UTF8 json_utf8_run_swar
#define PARSE_AVX2 0
#include "parse_body.h"
