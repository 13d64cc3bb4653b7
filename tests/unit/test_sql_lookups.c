// Joins with lookups: the same rows in the batch form, one by one, and with each record by itself; which form is taken; what is read; and a
// table that is replaced between two runs.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <unistd.h>

#include "tests/unit/sql_help.h"
#include "workers/lookups/lookup.h"

static const char *const records[] = {
    "{\"id\":1,\"cat\":\"fire\",\"code\":8,\"tags\":[\"fire\",\"ice\"],\"at\":\"x\"}",
    "{\"id\":2,\"cat\":\"flood\",\"code\":\"15\",\"tags\":[]}",
    "{\"id\":3,\"cat\":null,\"code\":8.0}",
    "{\"id\":4,\"cat\":\"nothing\",\"code\":99,\"tags\":[\"twice\"]}",
    "{\"id\":5,\"cat\":\"twice\",\"code\":12,\"tags\":[\"flood\",\"twice\",\"fire\"]}",
    "{\"id\":6}",
};
enum { RECORDS = sizeof records / sizeof *records };

static const char kinds_settings[] = "{\"key\":[\"name\"],\"columns\":{\"name\":\"text\",\"title\":\"text\",\"code\":\"bigint\",\"since\":"
                                     "\"timestamp\",\"open\":\"boolean\","
                                     "\"more\":\"json\",\"weight\":\"double\"}}";
static const char *const kinds_rows[] = {
    "{\"name\":\"fire\",\"title\":\"Fire\",\"code\":8,\"since\":\"2025-01-01T00:00:00Z\",\"open\":true,\"more\":{\"a\":[1]},\"weight\":2}",
    "{\"name\":\"flood\",\"title\":\"Flood\",\"code\":15,\"open\":false,\"more\":[]}",
    "{\"name\":\"twice\",\"title\":\"First\",\"code\":12}",
    "{\"name\":\"twice\",\"title\":\"Second\",\"code\":12}",
    "{\"name\":\"ice\",\"code\":1}",
};
static const char *const newer_rows[] = {"{\"name\":\"nothing\",\"title\":\"Something\",\"code\":7}",
                                         "{\"name\":\"fire\",\"title\":\"New fire\",\"code\":8}"};
static const char codes_settings[] = "{\"key\":[\"code\"],\"columns\":{\"code\":\"int\",\"word\":\"text\"}}";
static const char *const codes_rows[] = {"{\"code\":8,\"word\":\"eight\"}", "{\"code\":12,\"word\":\"twelve\"}"};

struct table {
  struct buffer settings;
  struct lookup_shape shape;
  char path[64];
};

struct scene {
  char folder[32];
  struct table kinds, codes, newer;
};

static struct scene scene;

static void table_make(struct table *t, const char *file, const char *name, const char *settings, const char *const *rows, size_t count) {
  struct error e = {0};
  struct lookup_build build;
  uint64_t bytes;
  assert_true(lookup_shape_load(&t->shape, name, help_settings(settings, &t->settings), &e));
  snprintf(t->path, sizeof t->path, "%s/%s", scene.folder, file);
  assert_true(lookup_build_open(&build, &t->shape, t->path, 1 << 20, &e));
  for (size_t i = 0; i < count; i++) {
    struct buffer row = {0};
    help_msgpack(rows[i], &row);
    if (!lookup_build_row(&build, row.at, row.at + row.length, &e)) fail_msg("%s", e.text);
    buffer_free(&row);
  }
  assert_true(lookup_build_end(&build, &bytes, &e));
  lookup_build_free(&build);
}

static int scene_open(void **state) {
  (void)state;
  strcpy(scene.folder, "/tmp/weir-test-XXXXXX");
  assert_non_null(mkdtemp(scene.folder));
  table_make(&scene.kinds, "kinds%20?.db", "kinds", kinds_settings, kinds_rows, sizeof kinds_rows / sizeof *kinds_rows);
  table_make(&scene.codes, "codes.db", "codes", codes_settings, codes_rows, sizeof codes_rows / sizeof *codes_rows);
  table_make(&scene.newer, "newer.db", "kinds", kinds_settings, newer_rows, sizeof newer_rows / sizeof *newer_rows);
  return 0;
}

static void table_free(struct table *t) {
  unlink(t->path);
  buffer_free(&t->settings);
  lookup_shape_free(&t->shape);
}

static int scene_close(void **state) {
  (void)state;
  table_free(&scene.kinds);
  table_free(&scene.codes);
  table_free(&scene.newer);
  return rmdir(scene.folder);
}

// `files` false: empty tables, as `weir check` has them.
static struct sql_engine *open_with(const char *sql, bool one_by_one, bool files, struct sql_problems *problems) {
  static const char *const input = "raw";
  struct sql_lookup lookups[] = {{.shape = &scene.kinds.shape, .path = files ? scene.kinds.path : NULL},
                                 {.shape = &scene.codes.shape, .path = files ? scene.codes.path : NULL}};
  struct sql_spec spec = {.sql = sql, .inputs = &input, .input_count = 1, .lookups = lookups, .lookup_count = 2, .one_by_one = one_by_one};
  return sql_engine_open(&spec, problems);
}

static struct sql_engine *open_good(const char *sql, bool one_by_one, bool files) {
  struct sql_problems problems = {0};
  struct sql_engine *engine = open_with(sql, one_by_one, files, &problems);
  if (!engine) fail_msg("%s: %s", sql, problems.list[0].text);
  sql_problems_free(&problems);
  return engine;
}

static char *rows_of(struct sql_engine *engine) {
  struct help_source s = help_source(records, RECORDS);
  struct buffer out = {0};
  help_run(engine, &s, &out);
  char *text = memory_text(buffer_cstring(&out));
  buffer_free(&out);
  help_source_free(&s);
  return text;
}

// ---- forms

struct kind {
  const char *name, *sql;
  const char *form;  // "batch" or the beginning of the reason against it
  const char *first; // what the rows begin with; NULL: there are none
};

static const struct kind kinds[] = {
    {"LEFT JOIN by the key", "SELECT r.id, k.title FROM raw r LEFT JOIN kinds k ON k.name = r.cat", "batch",
     "1: {\"id\":1,\"title\":\"Fire\"}\n2: {\"id\":2,\"title\":\"Flood\"}\n3: {\"id\":3,\"title\":null}\n4: {\"id\":4,\"title\":null}\n"
     "5: {\"id\":5,\"title\":\"First\"}\n5: {\"id\":5,\"title\":\"Second\"}\n6: {\"id\":6,\"title\":null}\n"},
    {"JOIN drops what is not found", "SELECT r.id, k.title FROM raw r JOIN kinds k ON k.name = r.cat", "batch",
     "1: {\"id\":1,\"title\":\"Fire\"}\n2: {\"id\":2,\"title\":\"Flood\"}\n5: {\"id\":5,\"title\":\"First\"}\n"},
    {"the lookup named first", "SELECT r.id, k.title FROM kinds k JOIN raw r ON k.name = r.cat", "batch", "1: {\"id\":1,"},
    {"a comma and WHERE", "SELECT r.id, k.title FROM kinds k, raw r WHERE r.cat = k.name", "batch", "1: {\"id\":1,"},
    {"the lookup forced to the outside", "SELECT r.id, k.title FROM kinds k CROSS JOIN raw r WHERE r.cat = k.name",
     "one by one: the input is not the outermost", "1: {\"id\":1,"},
    {"values of every kind", "SELECT r.id, k.since, k.open, k.more, k.weight, k.code FROM raw r LEFT JOIN kinds k ON k.name = r.cat",
     "batch",
     "1: {\"id\":1,\"since\":\"2025-01-01T00:00:00Z\",\"open\":true,\"more\":{\"a\":[1]},\"weight\":2.0,\"code\":8}\n"
     "2: {\"id\":2,\"since\":null,\"open\":false,\"more\":[],\"weight\":null,\"code\":15}\n"},
    {"kinds survive expressions",
     "SELECT r.id, coalesce(k.since, now()) AS t, CASE WHEN k.open THEN k.open ELSE k.open END AS o, k.more ->> '$.a[0]' AS a FROM raw r "
     "LEFT JOIN kinds k ON k.name = r.cat",
     "batch", "1: {\"id\":1,\"t\":\"2025-01-01T00:00:00Z\",\"o\":true,\"a\":1}\n"},
    {"a number against a text", "SELECT r.id, c.word FROM raw r LEFT JOIN codes c ON c.code = r.code", "batch",
     "1: {\"id\":1,\"word\":\"eight\"}\n2: {\"id\":2,\"word\":null}\n3: {\"id\":3,\"word\":\"eight\"}\n"},
    {"two lookups", "SELECT r.id, k.title, c.word FROM raw r LEFT JOIN kinds k ON k.name = r.cat LEFT JOIN codes c ON c.code = k.code",
     "batch", "1: {\"id\":1,\"title\":\"Fire\",\"word\":\"eight\"}\n"},
    {"one lookup twice",
     "SELECT r.id, a.title AS one, b.title AS two FROM raw r LEFT JOIN kinds a ON a.name = r.cat LEFT JOIN kinds b ON b.name = 'ice'",
     "batch", "1: {\"id\":1,\"one\":\"Fire\",\"two\":null}\n"},
    {"with each()", "SELECT r.id, t.value AS tag, k.title FROM raw r, each(r.tags) t LEFT JOIN kinds k ON k.name = t.value", "batch",
     "1: {\"id\":1,\"tag\":\"fire\",\"title\":\"Fire\"}\n1: {\"id\":1,\"tag\":\"ice\",\"title\":null}\n"},
    {"USING", "SELECT r.id, c.word FROM raw r JOIN codes c USING (code)", "batch", "1: {\"id\":1,\"word\":\"eight\"}\n"},
    {"a condition on the lookup's side", "SELECT r.id, k.title FROM raw r LEFT JOIN kinds k ON k.name = r.cat AND k.code > 10", "batch",
     "1: {\"id\":1,\"title\":null}\n2: {\"id\":2,\"title\":\"Flood\"}\n"},
    {"a range of the key", "SELECT r.id, c.word FROM raw r LEFT JOIN codes c ON c.code BETWEEN r.code AND 10", "batch",
     "1: {\"id\":1,\"word\":\"eight\"}\n"},
    {"IN a list of keys", "SELECT r.id, k.title FROM raw r JOIN kinds k ON k.name IN (r.cat, 'fire') WHERE r.id = 2",
     "one by one: a temporary table", "2: {\"id\":2,"},
    {"without an index", "SELECT r.id, k.name FROM raw r LEFT JOIN kinds k ON k.code = r.code", "batch",
     "1: {\"id\":1,\"name\":\"fire\"}\n"},
    {"no equality at all", "SELECT r.id, k.name FROM raw r JOIN kinds k ON k.title LIKE r.cat || '%'", "batch",
     "1: {\"id\":1,\"name\":\"fire\"}\n"},
    {"EXISTS", "SELECT r.id FROM raw r WHERE EXISTS (SELECT 1 FROM kinds k WHERE k.name = r.cat)",
     "one by one:", "1: {\"id\":1}\n2: {\"id\":2}\n5:"},
    {"a subquery for one value", "SELECT r.id, (SELECT k.title FROM kinds k WHERE k.name = r.cat) AS t FROM raw r",
     "one by one:", "1: {\"id\":1,\"t\":\"Fire\"}\n"},
    {"an aggregate over the lookup",
     "SELECT r.id, (SELECT group_concat(k.title) FROM each(r.tags) t JOIN kinds k ON k.name = t.value) AS all_of FROM raw r",
     "one by one:", "1: {\"id\":1,\"all_of\":\"Fire\"}\n"},
    {"a constant out of the lookup", "SELECT r.id, (SELECT count(*) FROM kinds) AS n FROM raw r", "batch", "1: {\"id\":1,\"n\":5}\n"},
    {"IN the lookup", "SELECT r.id FROM raw r WHERE r.cat IN (SELECT name FROM kinds)", "batch", "1: {\"id\":1}\n2: {\"id\":2}\n5:"},
    {"NOT IN the lookup", "SELECT r.id FROM raw r WHERE r.code NOT IN (SELECT code FROM codes)", "batch", "2: {\"id\":2}\n4: {\"id\":4}\n"},
    {"ORDER BY", "SELECT r.id, k.title FROM raw r JOIN kinds k ON k.name = r.cat ORDER BY k.title DESC", "one by one: ORDER BY",
     "1: {\"id\":1,"},
    {"a CTE over the lookup",
     "WITH big AS (SELECT name, title FROM kinds WHERE code > 10) SELECT r.id, b.title FROM raw r LEFT JOIN big b ON b.name = r.cat",
     "batch", "1: {\"id\":1,\"title\":null}\n2: {\"id\":2,\"title\":\"Flood\"}\n"},
    {"a join of lookups in FROM",
     "SELECT r.id, s.word FROM raw r LEFT JOIN (SELECT k.name, c.word FROM kinds k JOIN codes c ON c.code = k.code) s ON s.name = r.cat",
     "", "1: {\"id\":1,\"word\":\"eight\"}\n"},
    {"a name that only the lookup has", "SELECT r.id, word FROM raw r LEFT JOIN codes ON codes.code = r.code", "batch",
     "1: {\"id\":1,\"word\":\"eight\"}\n"},
    {"a field of the record beside it", "SELECT id, cat, word FROM raw r LEFT JOIN codes c ON c.code = r.code WHERE cat IS NOT NULL",
     "batch", "1: {\"id\":1,\"cat\":\"fire\",\"word\":\"eight\"}\n"},
    {"GROUP BY inside a record",
     "SELECT r.id, (SELECT group_concat(x) FROM (SELECT k.code || 'x' || count(*) AS x FROM each(r.tags) t JOIN kinds k ON k.name = "
     "t.value "
     "GROUP BY k.code)) AS g FROM raw r",
     "one by one:", "1: {\"id\":1,\"g\":\"1x1,8x1\"}\n"},
    {"no row of the lookup at all", "SELECT r.id FROM raw r JOIN kinds k ON k.name = r.cat AND k.code = -1", "batch", NULL},
};

static char *rows_alone(const char *sql) {
  struct sql_engine *engine = open_good(sql, false, true);
  struct help_source s = help_source(records, RECORDS);
  struct buffer out = {0};
  for (size_t i = 0; i < s.count; i++) {
    struct sql_record record = help_record(&s, i);
    struct buffer rows = {0};
    struct error e = {0};
    size_t count = 0;
    if (!sql_engine_run(engine, &record, &rows, &count, &e)) buffer_print(&out, "%zu: !%s %s\n", i + 1, e.code, e.text);
    for (const uint8_t *at = rows.at, *end = rows.at + rows.length; at < end;) {
      buffer_print(&out, "%zu: ", i + 1);
      assert_true(msgpack_to_json(&at, end, &out));
      buffer_text(&out, "\n");
    }
    buffer_free(&rows);
  }
  char *text = memory_text(buffer_cstring(&out));
  buffer_free(&out);
  help_source_free(&s);
  sql_engine_free(engine);
  return text;
}

static void both_forms(void **state) {
  const struct kind *kind = *state;
  struct sql_engine *batch = open_good(kind->sql, false, true), *single = open_good(kind->sql, true, true);
  struct sql_engine *empty = open_good(kind->sql, false, false);
  assert_int_equal(strncmp(sql_engine_form(batch), kind->form, strlen(kind->form)), 0);
  // What `weir check` says of the empty table holds for the file.
  assert_string_equal(sql_engine_form(batch), sql_engine_form(empty));
  char *rows = rows_of(batch), *same = rows_of(single), *alone = rows_alone(kind->sql);
  assert_string_equal(rows, same);
  assert_string_equal(rows, alone);
  if (kind->first && strncmp(rows, kind->first, strlen(kind->first)) != 0) assert_string_equal(rows, kind->first);
  if (!kind->first) assert_string_equal(rows, "");
  free(rows);
  free(same);
  free(alone);
  sql_engine_free(batch);
  sql_engine_free(single);
  sql_engine_free(empty);
}

// ---- what is refused

static void expect_problem(const char *sql, const char *expected) {
  struct sql_problems problems = {0};
  struct buffer out = {0};
  assert_null(open_with(sql, false, false, &problems));
  for (size_t i = 0; i < problems.count; i++) {
    const struct sql_problem *p = &problems.list[i];
    if (!p->warning)
      buffer_print(&out, "%s@%ld: %s%s%s", p->setting, p->offset, p->text, p->suggestion ? " | " : "", p->suggestion ? p->suggestion : "");
  }
  assert_string_equal(buffer_cstring(&out), expected);
  buffer_free(&out);
  sql_problems_free(&problems);
}

static void mistakes_are_told(void **state) {
  (void)state;
  static const char has[] = "; lookup codes has code, word";
  char text[256];
  snprintf(text, sizeof text, "sql@13: no such column: c.wrd%s | word", has);
  expect_problem("SELECT r.id, c.wrd FROM raw r LEFT JOIN codes c ON c.code = r.code", text);
  snprintf(text, sizeof text, "sql@54: no such column: c.kode%s | code", has);
  expect_problem("SELECT r.id, c.word FROM raw r LEFT JOIN codes c ON c.kode = r.code", text);
  expect_problem("SELECT r.id, x.word FROM raw r LEFT JOIN code x ON x.code = r.code",
                 "sql@41: there is no source, topic, transform or lookup \"code\" | codes");
  expect_problem("SELECT c.word FROM codes c", "sql@-1: it reads no stream: name one in FROM");
  expect_problem("SELECT r.id, c.* FROM raw r JOIN codes c ON c.code = r.code", "sql@-1: \"*\" is not possible here: name the columns");
  expect_problem("SELECT r.id, c.word FROM raw r JOIN main.codes c ON c.code = r.code",
                 "sql@41: a lookup is named without \"main.\" in front: \"codes\"");
  expect_problem("SELECT r.id, weir_json(r.id) AS j FROM raw r", "sql@13: the function weir_json() is not allowed here");
  expect_problem("SELECT k.name, r.id FROM kinds k LEFT JOIN raw r ON r.cat = k.name",
                 "sql@-1: an outer join that keeps rows of its other side would give them again with every record");
  expect_problem("SELECT k.name, r.id FROM raw r RIGHT JOIN kinds k ON r.cat = k.name",
                 "sql@-1: an outer join that keeps rows of its other side would give them again with every record");
  expect_problem("SELECT DISTINCT k.title FROM raw r JOIN kinds k ON k.name = r.cat",
                 "sql@-1: DISTINCT would see one record at a time: it has no meaning over the stream");
  expect_problem("SELECT k.title, count(*) AS n FROM raw r JOIN kinds k ON k.name = r.cat GROUP BY k.title",
                 "sql@-1: count() would see one record at a time; aggregate inside a record with (SELECT count(*) FROM each(e.items) i)");
  expect_problem("SELECT r.id, s.name FROM raw r JOIN sqlite_master s", "sql@-1: tables of SQLite's own are not allowed here");
  expect_problem("SELECT r.id, s.rows FROM raw r JOIN weir_lookup s",
                 "sql@36: there is no source, topic, transform or lookup \"weir_lookup\"");
}

static void a_check_reads_no_lookup(void **state) {
  (void)state;
  static const char *const input = "raw";
  struct sql_lookup lookup = {.shape = &scene.codes.shape};
  struct sql_problems problems = {0};
  struct buffer checks = {0};
  struct sql_spec spec = {.sql = "SELECT r.id, c.word FROM raw r LEFT JOIN codes c ON c.code = r.code",
                          .inputs = &input,
                          .input_count = 1,
                          .lookups = &lookup,
                          .lookup_count = 1,
                          .checks = help_settings("{\"known\":\"id IN (SELECT code FROM codes)\"}", &checks)};
  assert_null(sql_engine_open(&spec, &problems));
  assert_string_equal(problems.list[0].setting, "checks.known");
  assert_string_equal(problems.list[0].text, "a check looks at the row only");
  sql_problems_free(&problems);
  buffer_free(&checks);
}

// ---- what is read, and what is wanted

static void reads_are_known(void **state) {
  (void)state;
  struct sql_engine *engine = open_good("SELECT r.id, k.title FROM raw r LEFT JOIN kinds k ON k.name = r.cat AND k.open", false, false);
  static const bool expected[] = {true, true, false, false, true, false, false};
  assert_true(sql_engine_reads_lookup(engine, 0));
  assert_false(sql_engine_reads_lookup(engine, 1));
  for (size_t i = 0; i < sizeof expected; i++) assert_int_equal(sql_engine_reads_lookup_column(engine, 0, i), expected[i]);
  assert_false(sql_engine_scans_lookup(engine));
  sql_engine_free(engine);
}

static void expect_types(const char *sql, const char *types) {
  struct sql_engine *engine = open_good(sql, false, false);
  struct buffer out = {0};
  for (size_t i = 0; i < sql_engine_columns(engine); i++) buffer_print(&out, "%s%s", i ? "," : "", sql_engine_column_type(engine, i));
  assert_string_equal(buffer_cstring(&out), types);
  buffer_free(&out);
  sql_engine_free(engine);
}

static void types_are_known(void **state) {
  (void)state;
  expect_types("SELECT k.name, k.code, k.since AS s, k.open, k.more, k.weight, r.id FROM raw r LEFT JOIN kinds k ON k.name = r.cat",
               "text,bigint,timestamp,boolean,json,double,");
  expect_types("SELECT coalesce(k.code, 0) AS c, k.code + 0 AS d FROM raw r LEFT JOIN kinds k ON k.name = r.cat", ",");
  expect_types("SELECT s.code FROM (SELECT k.code FROM raw r JOIN kinds k ON k.name = r.cat) s", "bigint");
  expect_types("SELECT k.code FROM raw r JOIN kinds k ON k.name = r.cat UNION ALL SELECT r.cat FROM raw r", "");
  expect_types("SELECT k.code FROM raw r JOIN kinds k ON k.name = r.cat UNION SELECT 'x'", "");
}

static void wanted_indexes_are_told(void **state) {
  (void)state;
  const char *const *names;
  size_t count;
  struct sql_engine *engine =
      open_good("SELECT r.id, k.name FROM raw r LEFT JOIN kinds k ON k.code = r.code AND k.title = r.cat", false, false);
  assert_true(sql_engine_lookup_wants(engine, 0, 0, &names, &count));
  assert_int_equal(count, 2);
  assert_string_equal(names[0], "code");
  assert_string_equal(names[1], "title");
  assert_false(sql_engine_lookup_wants(engine, 0, 1, &names, &count));
  assert_false(sql_engine_lookup_wants(engine, 1, 0, &names, &count));
  sql_engine_free(engine);
  // Values that are generated are not indexed.
  engine = open_good("SELECT r.id, k.name FROM raw r LEFT JOIN kinds k ON k.since = r.at", false, false);
  assert_false(sql_engine_lookup_wants(engine, 0, 0, &names, &count));
  sql_engine_free(engine);
  engine = open_good("SELECT r.id, k.name FROM raw r JOIN kinds k ON k.title LIKE r.cat", false, false);
  assert_true(sql_engine_scans_lookup(engine));
  sql_engine_free(engine);
}

// ---- replacing

static void a_table_is_replaced(void **state) {
  (void)state;
  struct error e = {0};
  bool broken = true;
  struct sql_engine *engine = open_good("SELECT r.id, k.title FROM raw r JOIN kinds k ON k.name = r.cat", false, true);
  char *before = rows_of(engine);
  for (int turn = 0; turn < 50; turn++) {
    assert_true(sql_engine_swap_lookup(engine, 0, scene.newer.path, &broken, &e));
    char *after = rows_of(engine);
    assert_string_equal(after, "1: {\"id\":1,\"title\":\"New fire\"}\n4: {\"id\":4,\"title\":\"Something\"}\n");
    free(after);
    assert_true(sql_engine_swap_lookup(engine, 0, scene.kinds.path, &broken, &e));
    assert_true(sql_engine_is_batch(engine));
  }
  char *again = rows_of(engine);
  assert_string_equal(again, before);
  free(again);
  free(before);
  sql_engine_free(engine);
}

static void a_file_that_is_none_changes_nothing(void **state) {
  (void)state;
  bool broken = true;
  struct sql_engine *engine = open_good("SELECT r.id, k.title FROM raw r JOIN kinds k ON k.name = r.cat JOIN each(r.tags) t", false, true);
  char *before = rows_of(engine);
  // Absent; no database; a database without the table.
  const char *const wrong[] = {"/tmp/weir-there-is-none.db", "/proc/self/exe", scene.codes.path};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    struct error e = {0};
    assert_false(sql_engine_swap_lookup(engine, 0, wrong[i], &broken, &e));
    assert_false(broken);
    assert_int_equal(e.class, ERROR_OUTAGE);
    char *after = rows_of(engine);
    assert_string_equal(after, before);
    free(after);
  }
  struct error e = {0};
  assert_true(sql_engine_swap_lookup(engine, 0, scene.newer.path, &broken, &e));
  free(before);
  sql_engine_free(engine);
}

static void a_missing_file_is_an_outage(void **state) {
  (void)state;
  static const char *const input = "raw";
  struct error e = {0};
  struct sql_lookup lookup = {.shape = &scene.codes.shape, .path = "/tmp/weir-there-is-none.db"};
  struct sql_spec spec = {.sql = "SELECT r.id, c.word FROM raw r LEFT JOIN codes c ON c.code = r.code",
                          .inputs = &input,
                          .input_count = 1,
                          .lookups = &lookup,
                          .lookup_count = 1};
  assert_null(sql_engine_open_or_fail(&spec, &e));
  assert_int_equal(e.class, ERROR_OUTAGE);
  assert_non_null(strstr(e.text, "lookup codes cannot be attached"));
}

static void lookups_are_bounded(void **state) {
  (void)state;
  enum { MANY = 9 };
  static const char *const input = "raw";
  struct lookup_shape shapes[MANY];
  struct sql_lookup lookups[MANY];
  struct buffer settings = {0}, sql = {0};
  struct sql_problems problems = {0};
  struct job_value value = help_settings(codes_settings, &settings);
  buffer_text(&sql, "SELECT r.id FROM raw r");
  for (int i = 0; i < MANY; i++) {
    struct error e = {0};
    char name[16];
    snprintf(name, sizeof name, "l%d", i);
    assert_true(lookup_shape_load(&shapes[i], name, value, &e));
    lookups[i] = (struct sql_lookup){.shape = &shapes[i]};
    buffer_print(&sql, " LEFT JOIN l%d ON l%d.code = r.code", i, i);
  }
  struct sql_spec spec = {.sql = buffer_cstring(&sql), .inputs = &input, .input_count = 1, .lookups = lookups, .lookup_count = MANY};
  assert_null(sql_engine_open(&spec, &problems));
  assert_string_equal(problems.list[0].text, "one SELECT may join at most 8 lookups");
  sql_problems_free(&problems);
  for (int i = 0; i < MANY; i++) lookup_shape_free(&shapes[i]);
  buffer_free(&settings);
  buffer_free(&sql);
}

int main(void) {
  enum { KINDS = sizeof kinds / sizeof *kinds, OTHERS = 9 };
  struct CMUnitTest tests[KINDS + OTHERS] = {
      cmocka_unit_test(mistakes_are_told),
      cmocka_unit_test(a_check_reads_no_lookup),
      cmocka_unit_test(reads_are_known),
      cmocka_unit_test(types_are_known),
      cmocka_unit_test(wanted_indexes_are_told),
      cmocka_unit_test(a_table_is_replaced),
      cmocka_unit_test(a_file_that_is_none_changes_nothing),
      cmocka_unit_test(a_missing_file_is_an_outage),
      cmocka_unit_test(lookups_are_bounded),
  };
  for (size_t i = 0; i < KINDS; i++)
    tests[OTHERS + i] = (struct CMUnitTest){.name = kinds[i].name, .test_func = both_forms, .initial_state = (void *)(uintptr_t)&kinds[i]};
  return cmocka_run_group_tests(tests, scene_open, scene_close);
}
