// Any bytes as a record's payload, and as the texts that come from outside: times, durations, control lines, log values.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/clock.h"
#include "proto/control.h"
#include "proto/error.h"
#include "proto/log.h"
#include "proto/record.h"
#include "proto/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds) {
  if (!holds) abort();
}

static void check_record(const uint8_t *data, size_t size) {
  struct record_header header;
  const uint8_t *body, *end;
  if (!record_read(data, (uint32_t)size, &header, &body, &end)) return;
  uint8_t written[sizeof header];
  record_write(written, &header);
  must(memcmp(written, data, sizeof header) == 0);
  must(body == data + sizeof header && end == data + size - (header.kind == RECORD_DATA ? header.message : 0));
}

static void check_times(const char *text, size_t length) {
  int64_t micros, again, millis;
  char printed[CLOCK_TEXT];
  if (clock_parse(text, length, &micros)) must(clock_parse(printed, clock_print(micros, printed), &again) && again == micros);
  if (clock_duration(text, length, &millis)) must(millis >= 0 && millis <= (int64_t)3650 * 86400000);
}

// A line is one line of UTF-8 without control characters, whatever is in its values.
static void check_log(const char *text, size_t length) {
  for (int json = 0; json < 2; json++) {
    struct log_line line;
    log_format(json != 0, LOG_LEVEL_INFO);
    log_begin(&line, LOG_LEVEL_INFO, "fuzz");
    log_text_n(&line, "value", text, length);
    log_text_n(&line, "again", text, length);
    must(line.length < LOG_LINE);
    must(utf8_check((const uint8_t *)line.text, line.length) == line.length);
    for (size_t i = 0; i < line.length; i++) must((uint8_t)line.text[i] >= 0x20 && line.text[i] != 0x7f);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  uint8_t *copy = memory_get(size);
  if (size > 0) memcpy(copy, data, size);
  check_record(copy, size);
  check_times((const char *)copy, size);
  check_log((const char *)copy, size);
  (void)control_parse((const char *)copy, size);
  free(copy);
  return 0;
}
