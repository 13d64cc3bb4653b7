// Every kind of query runs in the batch form and one by one with the same rows, and the form that is taken is the one that is safe. The
// opcodes of SQLite change between releases: what is accepted here was proven with the version below.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "tests/unit/sql_help.h"

static const char *const records[] = {
    "{\"id\":1,\"name\":\"ann\",\"n\":5,\"ok\":true,\"items\":[{\"x\":3,\"y\":\"p\"},{\"x\":1,\"y\":\"q\"},{\"x\":2,\"y\":\"p\"}],\"tags\":"
    "[\"u\",\"v\"],"
    "\"m\":{\"k\":1,\"l\":[5,6]}}",
    "{\"id\":2,\"name\":\"bob\",\"n\":-7,\"ok\":false,\"items\":[],\"tags\":null,\"m\":{\"k\":2}}",
    "{\"id\":3,\"name\":\"cy &lt; d\",\"n\":9.5,\"items\":[{\"x\":7,\"y\":\"z\"}],\"tags\":[\"u\"]}",
    "{\"id\":4,\"name\":null,\"n\":18446744073709551615,\"ok\":true,\"items\":{\"a\":{\"x\":4}},\"tags\":\"[1,2]\"}",
    "{\"id\":5}",
    "{\"name\":\"eve\",\"id\":6,\"extra\":1,\"items\":[{\"y\":\"only\"},{\"x\":-1}],\"tags\":[]}",
};
enum { RECORDS = sizeof records / sizeof *records };

struct kind {
  const char *name, *sql;
  const char *form; // "batch" or the beginning of the reason against it
};

static const struct kind kinds[] = {
    {"plain columns", "SELECT id, name, n, ok FROM raw", "batch"},
    {"paths and nested values", "SELECT id, \"m.k\" AS k, \"m.l[1]\" AS l, items FROM raw", "batch"},
    {"a filter", "SELECT id, name FROM raw WHERE n > 0", "batch"},
    {"a filter on what is copied", "SELECT id, n FROM raw WHERE id > 1 AND n IS NOT NULL", "batch"},
    {"functions", "SELECT id, upper(name) AS u, unescape_html(name) AS h, hash(name, n) AS x FROM raw", "batch"},
    {"CASE, coalesce, arithmetic", "SELECT id, CASE WHEN n > 0 THEN n * 2 ELSE coalesce(n, 0) END AS c, id + 1 AS i FROM raw", "batch"},
    {"a column twice", "SELECT id, id AS again, n AS a, n + 0 AS b FROM raw", "batch"},
    {"IN list", "SELECT id FROM raw WHERE id IN (1, 3, 5)", "batch"},
    {"BETWEEN, LIKE, GLOB", "SELECT id FROM raw WHERE id BETWEEN 2 AND 6 AND (name LIKE 'b%' OR name GLOB '*e')", "batch"},
    {"now and uuid", "SELECT id, now() AS t, uuid() AS u, uuid() AS v FROM raw WHERE id <> 2", "batch"},
    {"each of an array", "SELECT id, g.key AS k, g.x, g.y FROM raw e, each(e.items) g", "batch"},
    {"each with a filter", "SELECT id, g.x FROM raw e, each(e.items) g WHERE g.x > 1", "batch"},
    {"each keeps its record", "SELECT id, g.x FROM raw e LEFT JOIN each(e.items) g", "batch"},
    {"each with a condition of its own", "SELECT id, g.x, g.y FROM raw e LEFT JOIN each(e.items) g ON g.x > 2", "batch"},
    {"each with a condition on the record", "SELECT id, g.x FROM raw e LEFT JOIN each(e.items) g ON e.id <> 3", "batch"},
    {"two each, both may be empty",
     "SELECT id, g.x, t.value AS tag, t.k AS k FROM raw e LEFT JOIN each(e.items) g LEFT JOIN each(e.tags) t ON t.key = g.key", "batch"},
    {"OR over each", "SELECT id, g.x FROM raw e, each(e.items) g WHERE g.x = 1 OR g.y = 'p' OR e.id = 6", "batch"},
    {"each of a map", "SELECT id, p.key AS k, p.value AS v FROM raw e, each(e.m) p", "batch"},
    {"each of a path", "SELECT id, p.value AS v FROM raw e, each(e.\"m.l\") p", "batch"},
    {"each in each", "SELECT id, q.key AS a, p.value AS v FROM raw e, each(e.m) q, each(q.value) p", "batch"},
    {"two each", "SELECT id, g.x, t.value AS tag FROM raw e, each(e.items) g, each(e.tags) t", "batch"},
    {"each of a column used otherwise", "SELECT id, e.items, g.x FROM raw e, each(e.items) g WHERE e.items IS NOT NULL", "batch"},
    {"json functions", "SELECT id, json_extract(m, '$.l[0]') AS x, m ->> '$.k' AS k, json_object('m', m) AS o FROM raw", "batch"},
    {"json_each", "SELECT id, j.value AS v FROM raw e, json_each(e.m) j", "batch"},
    {"a subquery in FROM", "SELECT s.id, s.b FROM (SELECT id, name AS b FROM raw WHERE id < 4) s WHERE s.id > 1", "batch"},
    {"a plain CTE", "WITH c AS (SELECT id, n FROM raw WHERE id < 5) SELECT id, n FROM c", "batch"},
    {"a constant subquery", "SELECT id, (SELECT 7) AS seven FROM raw WHERE id > (SELECT 1)", "batch"},
    {"a constant recursive CTE",
     "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 4) SELECT id, (SELECT sum(i) FROM c) AS s FROM raw",
     "batch"},
    {"ORDER BY", "SELECT id, name FROM raw ORDER BY name", "one by one: ORDER BY"},
    {"ORDER BY over each", "SELECT id, g.x FROM raw e, each(e.items) g ORDER BY g.x DESC", "one by one: ORDER BY"},
    {"an aggregate inside a record", "SELECT id, (SELECT count(*) FROM each(e.items)) AS c FROM raw e", "one by one: an aggregate"},
    {"sum, min, max inside a record", "SELECT id, (SELECT sum(g.x) || min(g.x) || max(g.y) FROM each(e.items) g) AS s FROM raw e",
     "one by one: an aggregate"},
    {"GROUP BY inside a record",
     "SELECT id, (SELECT group_concat(c) FROM (SELECT g.y || count(*) AS c FROM each(e.items) g GROUP BY g.y)) AS s "
     "FROM raw e",
     "one by one:"},
    {"EXISTS", "SELECT id FROM raw e WHERE EXISTS (SELECT 1 FROM each(e.items) g WHERE g.x > 2)", "one by one: EXISTS"},
    {"IN over each", "SELECT id FROM raw e WHERE 'u' IN (SELECT t.value FROM each(e.tags) t)", "one by one:"},
    {"a subquery for one value", "SELECT id, (SELECT g.y FROM each(e.items) g WHERE g.x = 2) AS y FROM raw e", "one by one:"},
    {"LIMIT inside a record", "SELECT id, (SELECT g.x FROM each(e.items) g ORDER BY g.x LIMIT 1) AS least FROM raw e", "one by one:"},
    {"DISTINCT inside a record", "SELECT id, (SELECT count(*) FROM (SELECT DISTINCT g.y FROM each(e.items) g)) AS c FROM raw e",
     "one by one:"},
    {"a window inside a record",
     "SELECT id, (SELECT group_concat(r) FROM (SELECT row_number() OVER (ORDER BY g.x) AS r FROM each(e.items) g)) AS s "
     "FROM raw e",
     "one by one:"},
    {"UNION ALL", "SELECT id FROM raw UNION ALL SELECT name FROM raw", "one by one: the input is read more"},
    {"UNION", "SELECT id, ok FROM raw UNION SELECT id, ok FROM raw", "one by one:"},
    {"EXCEPT", "SELECT id FROM raw EXCEPT SELECT 2", "one by one:"},
    {"INTERSECT", "SELECT id FROM raw INTERSECT SELECT 3", "one by one:"},
    {"a materialised CTE", "WITH c AS MATERIALIZED (SELECT id, n FROM raw) SELECT id, n FROM c WHERE id > 1", "one by one:"},
    {"a recursive CTE from a record",
     "WITH RECURSIVE c(i, v) AS (SELECT id, n FROM raw UNION ALL SELECT i + 10, v FROM c WHERE i < 20) SELECT i, v FROM c", "one by one:"},
    {"each before the stream", "SELECT l.value AS v, e.id FROM each('[1,2]') l CROSS JOIN raw e", "one by one: the input is not"},
    {"dates", "SELECT id, date('now') AS d, strftime('%Y', '2020-02-03') AS y, current_timestamp AS t FROM raw", "one by one: a date"},
    {"now in a subquery", "SELECT id, (SELECT now()) AS t, (SELECT uuid()) AS u FROM raw", "one by one: now()"},
    {"values of every kind through a sorter", "SELECT id, ok, n, m, tags FROM raw ORDER BY id, tags", "one by one: ORDER BY"},
};

// A third way: a new run for each record by itself.
static char *rows_alone(const struct help_spec *h) {
  struct sql_engine *engine = help_engine(h);
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
  struct help_spec h = {.sql = kind->sql}, one = {.sql = kind->sql, .one_by_one = true};
  struct sql_engine *engine = help_engine(&h);
  assert_int_equal(strncmp(sql_engine_form(engine), kind->form, strlen(kind->form)), 0);
  assert_int_equal(sql_engine_is_batch(engine), strcmp(kind->form, "batch") == 0);
  sql_engine_free(engine);
  char *batch = help_rows(&h, records, RECORDS), *single = help_rows(&one, records, RECORDS), *alone = rows_alone(&h);
  assert_true(strlen(batch) > 0);
  assert_string_equal(batch, single);
  assert_string_equal(batch, alone);
  free(batch);
  free(single);
  free(alone);
}

static void version_is_the_proven_one(void **state) {
  (void)state;
  assert_string_equal(sqlite3_libversion(), SQLITE_VERSION);
  assert_int_equal(strncmp(SQLITE_VERSION, "3.40.", 5), 0);
}

int main(void) {
  enum { KINDS = sizeof kinds / sizeof *kinds };
  struct CMUnitTest tests[KINDS + 1] = {{.name = "the proven version of SQLite", .test_func = version_is_the_proven_one}};
  for (size_t i = 0; i < KINDS; i++)
    tests[i + 1] = (struct CMUnitTest){.name = kinds[i].name, .test_func = both_forms, .initial_state = (void *)(uintptr_t)&kinds[i]};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
