// Reading and printing of time: RFC 3339 and its relatives, RFC 7231 dates, durations. No libc calendar: no locale, no time zone, no
// surprises outside 1970..2038. The calendar is the proleptic Gregorian one, days counted from 1970-01-01.
#include "proto/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static const int64_t second = 1000000, day = 86400 * (int64_t)1000000;

int64_t clock_micros(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return (int64_t)now.tv_sec * second + now.tv_nsec / 1000;
}

uint64_t clock_monotonic_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

// Days from 1970-01-01 to the date. Years are counted from March, so that the leap day is a year's last.
static int64_t days_from_date(int64_t year, int64_t month, int64_t date) {
  if (month <= 2) year--;
  int64_t era = (year >= 0 ? year : year - 399) / 400;
  int64_t year_of_era = year - era * 400;
  int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + date - 1;
  return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

static void date_from_days(int64_t days, int64_t *year, int64_t *month, int64_t *date) {
  days += 719468;
  int64_t era = (days >= 0 ? days : days - 146096) / 146097;
  int64_t of_era = days - era * 146097;
  int64_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
  int64_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  int64_t shifted = (5 * of_year + 2) / 153;
  *date = of_year - (153 * shifted + 2) / 5 + 1;
  *month = shifted < 10 ? shifted + 3 : shifted - 9;
  *year = year_of_era + era * 400 + (*month <= 2);
}

static bool date_is_real(int64_t year, int64_t month, int64_t date) {
  static const int8_t lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  if (year < 1 || year > 9999 || month < 1 || month > 12 || date < 1) return false;
  bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
  return date <= lengths[month - 1] + (leap && month == 2);
}

// A text that is eaten from the left.
struct text {
  const char *at, *end;
};

static bool take(struct text *t, char wanted) {
  if (t->at == t->end || *t->at != wanted) return false;
  t->at++;
  return true;
}

static bool take_digits(struct text *t, int digits, int64_t *value) {
  if (t->end - t->at < digits) return false;
  int64_t v = 0;
  for (int i = 0; i < digits; i++) {
    char c = t->at[i];
    if (c < '0' || c > '9') return false;
    v = v * 10 + (c - '0');
  }
  t->at += digits;
  *value = v;
  return true;
}

static bool take_word(struct text *t, const char *word) {
  size_t length = strlen(word);
  if ((size_t)(t->end - t->at) < length || memcmp(t->at, word, length) != 0) return false;
  t->at += length;
  return true;
}

// "HH:MM[:SS[.fraction]]" as microseconds of the day. Second 60 counts on into the next minute.
static bool take_time(struct text *t, int64_t *micros) {
  int64_t hour, minute, seconds = 0, fraction = 0;
  if (!take_digits(t, 2, &hour) || !take(t, ':') || !take_digits(t, 2, &minute) || hour > 23 || minute > 59) return false;
  if (take(t, ':')) {
    if (!take_digits(t, 2, &seconds) || seconds > 60) return false;
    if (take(t, '.')) {
      int digits = 0;
      int64_t scale = second;
      for (; t->at < t->end && *t->at >= '0' && *t->at <= '9'; t->at++) {
        if (++digits > 9) return false;
        scale /= 10;
        fraction += (*t->at - '0') * scale; // digits behind the sixth are worth 0 microseconds
      }
      if (digits == 0) return false;
    }
  }
  *micros = (hour * 3600 + minute * 60 + seconds) * second + fraction;
  return true;
}

// "Z", "+01:00", "+0100", "-05" or nothing.
static bool take_zone(struct text *t, int64_t *micros) {
  *micros = 0;
  if (t->at == t->end || take(t, 'Z') || take(t, 'z')) return true;
  bool west = *t->at == '-';
  int64_t hours, minutes = 0;
  if (!take(t, '+') && !take(t, '-')) return false;
  if (!take_digits(t, 2, &hours) || hours > 23) return false;
  if (t->at < t->end) {
    (void)take(t, ':');
    if (!take_digits(t, 2, &minutes) || minutes > 59) return false;
  }
  *micros = (hours * 60 + minutes) * 60 * second;
  if (west) *micros = -*micros;
  return true;
}

static bool take_iso(struct text *t, int64_t *micros) {
  int64_t year, month, date, time = 0, zone = 0;
  if (!take_digits(t, 4, &year) || !take(t, '-') || !take_digits(t, 2, &month) || !take(t, '-') || !take_digits(t, 2, &date)) return false;
  if (!date_is_real(year, month, date)) return false;
  if (t->at < t->end) {
    if (!take(t, 'T') && !take(t, 't') && !take(t, ' ')) return false;
    if (!take_time(t, &time) || !take_zone(t, &zone)) return false;
  }
  *micros = days_from_date(year, month, date) * day + time - zone;
  return true;
}

// "Sun, 06 Nov 1994 08:49:37 GMT". The name of the day must be a name; whether it is the right one is not our business.
static bool take_http(struct text *t, int64_t *micros) {
  static const char *const days[] = {"Mon, ", "Tue, ", "Wed, ", "Thu, ", "Fri, ", "Sat, ", "Sun, "};
  static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  int64_t year, month = 0, date, time;
  size_t i = 0;
  while (i < 7 && !take_word(t, days[i])) i++;
  if (i == 7 || !take_digits(t, 2, &date) || !take(t, ' ')) return false;
  while (month < 12 && !take_word(t, months[month])) month++;
  if (!take(t, ' ') || !take_digits(t, 4, &year) || !take(t, ' ')) return false;
  if (!date_is_real(year, month + 1, date)) return false;
  if (t->end - t->at != 12 || !take_time(t, &time) || !take_word(t, " GMT")) return false;
  *micros = days_from_date(year, month + 1, date) * day + time;
  return true;
}

// Two digits; more than 99 when one of them is none.
static inline unsigned pair(const char *at) {
  unsigned tens = (unsigned)(unsigned char)at[0] - '0', ones = (unsigned)(unsigned char)at[1] - '0';
  return tens > 9 || ones > 9 ? 1000 : tens * 10 + ones;
}

// The one spelling that most times have, "2026-11-21T00:00:00Z" with up to six digits of a fraction, without walking through it. False: it
// is another one, or none.
static bool parse_plain(const char *text, size_t length, int64_t *micros) {
  enum { WITHOUT_FRACTION = 20, LONGEST = 27 };
  if (length < WITHOUT_FRACTION || length > LONGEST || text[length - 1] != 'Z') return false;
  if (text[4] != '-' || text[7] != '-' || text[10] != 'T' || text[13] != ':' || text[16] != ':') return false;
  unsigned century = pair(text), year = pair(text + 2), month = pair(text + 5), date = pair(text + 8);
  unsigned hour = pair(text + 11), minute = pair(text + 14), seconds = pair(text + 17);
  if (century > 99 || year > 99 || hour > 23 || minute > 59 || seconds > 59) return false;
  int64_t fraction = 0, scale = second;
  if (length > WITHOUT_FRACTION) {
    if (text[19] != '.' || length == WITHOUT_FRACTION + 1) return false;
    for (size_t i = 20; i < length - 1; i++) {
      unsigned digit = (unsigned)(unsigned char)text[i] - '0';
      if (digit > 9) return false;
      scale /= 10;
      fraction += digit * scale;
    }
  }
  year += century * 100;
  if (!date_is_real(year, month, date)) return false;
  *micros = days_from_date(year, month, date) * day + (int64_t)(hour * 3600 + minute * 60 + seconds) * second + fraction;
  return true;
}

bool clock_parse(const char *text, size_t length, int64_t *micros) {
  struct text t = {text, text + length};
  int64_t result = 0;
  if (length == 0) return false;
  if (parse_plain(text, length, micros)) return true;
  if (text[0] >= '0' && text[0] <= '9' ? !take_iso(&t, &result) : !take_http(&t, &result)) return false;
  if (t.at != t.end) return false;
  // A zone may carry a real date over the edge of the years that can be printed.
  if (result < days_from_date(1, 1, 1) * day || result >= days_from_date(10000, 1, 1) * day) return false;
  *micros = result;
  return true;
}

size_t clock_print(int64_t micros, char *out) {
  int64_t days = micros / day, rest = micros % day, year, month, date;
  if (rest < 0) {
    rest += day;
    days--;
  }
  date_from_days(days, &year, &month, &date);
  int64_t seconds = rest / second;
  int length = snprintf(out, CLOCK_TEXT, "%04lld-%02lld-%02lldT%02lld:%02lld:%02lld", (long long)year, (long long)month, (long long)date,
                        (long long)(seconds / 3600), (long long)(seconds / 60 % 60), (long long)(seconds % 60));
  if (rest % second != 0) length += snprintf(out + length, CLOCK_TEXT - (size_t)length, ".%06lld", (long long)(rest % second));
  length += snprintf(out + length, CLOCK_TEXT - (size_t)length, "Z");
  return (size_t)length;
}

bool clock_duration(const char *text, size_t length, int64_t *millis) {
  static const struct {
    const char *name;
    int64_t millis;
  } units[] = {{"d", 86400000}, {"h", 3600000}, {"ms", 1}, {"m", 60000}, {"s", 1000}};
  static const int64_t most = (int64_t)3650 * 86400000;
  struct text t = {text, text + length};
  int64_t total = 0, last = INT64_MAX;
  if (length == 1 && *text == '0') {
    *millis = 0;
    return true;
  }
  do {
    int64_t number = 0, digit;
    size_t digits = 0, unit = 0;
    for (; take_digits(&t, 1, &digit); digits++) {
      number = number * 10 + digit;
      if (number > most) return false;
    }
    while (unit < sizeof units / sizeof *units && !take_word(&t, units[unit].name)) unit++;
    // Larger units come first and none twice: "30m1h" is more likely a slip than a wish.
    if (digits == 0 || unit == sizeof units / sizeof *units || units[unit].millis >= last) return false;
    last = units[unit].millis;
    int64_t part;
    if (__builtin_mul_overflow(number, last, &part) || __builtin_add_overflow(total, part, &total) || total > most) return false;
  } while (t.at < t.end);
  *millis = total;
  return true;
}
