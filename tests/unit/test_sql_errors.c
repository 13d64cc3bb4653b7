// What is wrong with SQL, columns and checks is told with its place and a suggestion; what is dangerous or has no meaning is refused.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/sql_help.h"
#include "workers/sql/sql_stage.h"
#include "workers/workers.h"

struct bad {
  const char *sql, *problem;
};

static const struct bad bads[] = {
    {"SELECT id FRM raw", "sql@14: near \"raw\": syntax error"},
    {"SELECT id FROM raw WHERE (", "sql@-1: incomplete input"},
    {"SELECT id FROM rav", "sql@15: there is no source, topic, transform or lookup \"rav\" [raw]"},
    {"SELECT id FROM something_else", "sql@15: there is no source, topic, transform or lookup \"something_else\""},
    {"SELECT z.id FROM raw e", "sql@7: no such column: z.id (a path below a field is written in double quotes: e.\"a.b[0].c\")"},
    {"SELECT id, nope(id) AS x FROM raw", "sql@11: no such function: nope"},
    {"SELECT * FROM raw", "sql@-1: \"*\" is not possible, because records have no fixed fields: name the columns"},
    {"SELECT e.id, g.* FROM raw e, each(e.l) g", "sql@-1: \"*\" is not possible, because records have no fixed fields: name the columns"},
    {"SELECT id, c.id AS c FROM raw e, each(e.l) c", "sql@7: ambiguous column name: id (write the table's name in front)"},
    {"", "sql@-1: there is no SELECT in it"},
    {"-- nothing", "sql@-1: there is no SELECT in it"},
    {"SELECT 1 AS one", "sql@-1: it reads no stream: name one in FROM"},
    {"SELECT id FROM raw; SELECT 2", "sql@19: one SELECT is all that a stage can be: there is something behind it"},
    {"EXPLAIN SELECT id FROM raw", "sql@0: EXPLAIN is not allowed here: the plan is shown by `weir check`"},
    {"EXPLAIN QUERY PLAN SELECT id FROM raw", "sql@0: EXPLAIN is not allowed here: the plan is shown by `weir check`"},
    {"SELECT id FROM raw WHERE id = ?", "sql@-1: parameters (?, :name) have no value here"},
    {"DELETE FROM raw", "sql@-1: table raw may not be modified"},
    {"CREATE TABLE t(a)", "sql@-1: only a SELECT is allowed here: it may not change anything"},
    {"DROP TABLE raw", "sql@-1: only a SELECT is allowed here: it may not change anything"},
    {"VACUUM INTO '/tmp/x'", "sql@0: only a SELECT is allowed here: it may not change anything"},
    {"BEGIN", "sql@-1: only a SELECT is allowed here: it may not change anything"},
    {"ATTACH DATABASE '/etc/passwd' AS x", "sql@-1: ATTACH is not allowed here"},
    {"PRAGMA writable_schema = 1", "sql@-1: PRAGMA writable_schema is not allowed here"},
    {"SELECT name FROM sqlite_schema", "sql@-1: tables of SQLite's own are not allowed here"},
    {"SELECT count(*) AS c FROM sqlite_schema, raw", "sql@-1: tables of SQLite's own are not allowed here"},
    {"SELECT load_extension(id) AS x FROM raw", "sql@7: the function load_extension() is not allowed here"},
    {"SELECT fts3_tokenizer(id) AS x FROM raw", "sql@7: the function fts3_tokenizer() is not allowed here"},
    {"SELECT random() AS x FROM raw", "sql@7: random() gives another value each time a record is replayed: use hash(uuid())"},
    {"SELECT id, name AS id FROM raw", "sql@-1: two columns are named \"id\": give one another name with AS"},
    {"SELECT id, name AS ID FROM raw", "sql@-1: two columns are named \"ID\": give one another name with AS"},
    {"SELECT id AS \"\" FROM raw", "sql@-1: column 1 needs a name of 1 to 255 bytes: write AS name"},
    {"SELECT count(*) AS c FROM raw",
     "sql@-1: count() would see one record at a time; aggregate inside a record with (SELECT count(*) FROM each(e.items) i)"},
    {"SELECT max(n) AS c FROM raw",
     "sql@-1: max() would see one record at a time; aggregate inside a record with (SELECT max(i.x) FROM each(e.items) i)"},
    {"SELECT n, count(*) AS c FROM raw GROUP BY n",
     "sql@-1: count() would see one record at a time; aggregate inside a record with (SELECT count(*) FROM each(e.items) i)"},
    {"SELECT n FROM raw GROUP BY n",
     "sql@-1: GROUP BY would see one record at a time; group inside a record with (SELECT ... FROM each(e.items) i GROUP BY ...)"},
    {"SELECT id, row_number() OVER (ORDER BY n) AS r FROM raw",
     "sql@-1: row_number() would see one record at a time; aggregate inside a record with (SELECT row_number(i.x) FROM each(e.items) i)"},
    {"SELECT id FROM raw LIMIT 5", "sql@-1: LIMIT would see one record at a time: it has no meaning over the stream"},
    {"SELECT id FROM raw ORDER BY n LIMIT 5", "sql@-1: LIMIT would see one record at a time: it has no meaning over the stream"},
    {"SELECT s.id FROM (SELECT id FROM raw LIMIT 5 OFFSET 1) s",
     "sql@-1: LIMIT would see one record at a time: it has no meaning over the stream"},
    {"SELECT DISTINCT n FROM raw", "sql@-1: DISTINCT would see one record at a time: it has no meaning over the stream"},
    {"SELECT a.id FROM raw a, raw b", "sql@-1: \"raw\" would be joined with itself, and one record is seen at a time: read it once"},
    {"SELECT id FROM raw WHERE n > (SELECT avg(n) FROM raw)",
     "sql@-1: \"raw\" would be joined with itself, and one record is seen at a time: read it once"},
    {"SELECT l.value AS v, e.id FROM each('[1,2]') l LEFT JOIN raw e ON e.id = l.value",
     "sql@-1: an outer join that keeps rows of its other side would give them again with every record"},
    {"SELECT g.value AS v FROM raw e, each g", "sql@-1: each() needs the value to unnest, as in each(e.items)"},
};

static void refused(void **state) {
  const struct bad *bad = *state;
  help_problem(&(struct help_spec){.sql = bad->sql}, bad->problem);
}

static void columns_and_checks(void **state) {
  (void)state;
  help_problem(
      &(struct help_spec){.sql = "SELECT id, lon FROM raw",
                          .columns = "{\"id\":\"number\",\"lonn\":\"double\",\"lon\":\"double not nul\"}"},
      "columns.id@0: \"number\" is no type: write text, int, bigint, double, boolean, timestamp, date, json or bytes, and \"not null\" "
      "behind it\n"
      "columns.lonn@-1: the SQL gives no column \"lonn\" [lon]\n"
      "columns.lon@0: \"double not nul\" is no type: write text, int, bigint, double, boolean, timestamp, date, json or bytes, and "
      "\"not null\" behind it");
  help_problem(&(struct help_spec){.sql = "SELECT id, lon FROM raw",
                                   .checks = "{\"a\":\"lno > 0\",\"b\":\"lon >\",\"c\":\"1), (2\",\"d\":\"1) FROM row; --\"}"},
               "checks.a@0: the SQL gives no column \"lno\" [lon]\n"
               "checks.b@6: near \")\": syntax error\n"
               "checks.c@-1: a check is one condition, as in lon BETWEEN -180 AND 180\n"
               "checks.d@-1: a check is one condition, as in lon BETWEEN -180 AND 180");
  help_problem(
      &(struct help_spec){.sql = "SELECT id FROM raw", .checks = "{\"a\":\"random() > 0\",\"b\":\"(SELECT count(*) FROM raw) > 0\"}"},
      "checks.a@0: random() gives another value each time a record is replayed: use hash(uuid())\n"
      "checks.b@-1: a check looks at the row only");
}

static void mistakes_are_told_together(void **state) {
  (void)state;
  help_problem(&(struct help_spec){.sql = "SELECT count(*) AS c FROM raw", .columns = "{\"d\":\"int\"}"},
               "columns.d@-1: the SQL gives no column \"d\" [c]\n"
               "sql@-1: count() would see one record at a time; aggregate inside a record with (SELECT count(*) FROM each(e.items) i)");
}

static void two_inputs(void **state) {
  (void)state;
  static const char *const inputs[] = {"raw", "lines", "people"};
  struct sql_spec spec = {.sql = "SELECT a.id FROM lines a, people b", .inputs = inputs, .input_count = 3};
  struct sql_problems problems = {0};
  assert_null(sql_engine_open(&spec, &problems));
  assert_int_equal(problems.count, 1);
  assert_string_equal(problems.list[0].text, "a stage reads one stream: \"lines\" and \"people\" cannot be joined");
  assert_int_equal(problems.list[0].offset, 26);
  sql_problems_free(&problems);
}

// The answers that `weir check` works with.
static void check_answers(void **state) {
  (void)state;
  static const char *const inputs[] = {"lines", "raw", "people"};
  struct buffer settings = {0};
  help_msgpack(
      "{\"sql\":\"SELECT id, upper(name) AS name, count FROM raw\",\"columns\":{\"id\":\"bigint not null\"},\"checks\":{\"c\":\"id > 0\"}}",
      &settings);
  struct check c = {.pipeline = "p",
                    .node = "n",
                    .settings = {.at = settings.at, .end = settings.at + settings.length},
                    .inputs = inputs,
                    .input_count = 3};
  sql_stage_check(&c);
  assert_int_equal(c.finding_count, 0);
  assert_false(c.reads[0]);
  assert_true(c.reads[1]);
  assert_false(c.reads[2]);
  assert_string_equal(c.form, "batch");
  assert_true(c.output_known);
  assert_int_equal(c.output_count, 3);
  assert_string_equal(c.output[0].name, "id");
  assert_string_equal(c.output[0].type, "bigint");
  assert_true(c.output[0].not_null);
  assert_string_equal(c.output[1].name, "name");
  assert_string_equal(c.output[1].type, "");
  check_free(&c);
  buffer_free(&settings);
}

static void check_findings(void **state) {
  (void)state;
  static const char *const inputs[] = {"lines", "raw"};
  struct buffer settings = {0};
  help_msgpack("{\"sql\":\"SELECT id FROM line\"}", &settings);
  struct check c = {.pipeline = "p",
                    .node = "n",
                    .settings = {.at = settings.at, .end = settings.at + settings.length},
                    .inputs = inputs,
                    .input_count = 2};
  sql_stage_check(&c);
  assert_int_equal(c.finding_count, 1);
  assert_int_equal(c.findings[0].level, CHECK_ERROR);
  assert_string_equal(c.findings[0].setting, "sql");
  assert_int_equal(c.findings[0].offset, 15);
  assert_string_equal(c.findings[0].suggestion, "lines");
  assert_false(c.reads[0] || c.reads[1]);
  check_free(&c);
  buffer_free(&settings);
}

int main(void) {
  enum { BADS = sizeof bads / sizeof *bads };
  const struct CMUnitTest others[] = {
      cmocka_unit_test(columns_and_checks), cmocka_unit_test(mistakes_are_told_together),
      cmocka_unit_test(two_inputs),         cmocka_unit_test(check_answers),
      cmocka_unit_test(check_findings),
  };
  enum { OTHERS = sizeof others / sizeof *others };
  struct CMUnitTest tests[OTHERS + BADS];
  memcpy(tests, others, sizeof others);
  for (size_t i = 0; i < BADS; i++)
    tests[OTHERS + i] = (struct CMUnitTest){.name = bads[i].sql, .test_func = refused, .initial_state = (void *)(uintptr_t)&bads[i]};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
