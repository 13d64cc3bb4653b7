// The tables of the command line: verbs, options, and what the help says of them. See command_line.h.
#include "supervisor/command_line.h"

enum { ASKING = OPTION_STATE | OPTION_JSON | OPTION_HELP | OPTION_NO_COLOR };

const struct option_row option_rows[] = {
    {"once", OPTION_ONCE, NULL, "poll every source once, store everything, print the account, end"},
    {"state", OPTION_STATE, "DIR", "the state folder (default: $WEIR_STATE, or .weir/PIPELINE beside the file)"},
    {"json", OPTION_JSON, NULL, "answer in JSON"},
    {"log", OPTION_LOG, "json", "log lines on standard error as JSON objects (or text, the default)"},
    {"take-over", OPTION_TAKE_OVER, NULL, "do not wait for another instance that was seen at the target lately"},
    {"connect", OPTION_CONNECT, NULL, "try the targets, too; creates nothing"},
    {"format", OPTION_FORMAT, "FORMAT", "text (the default), dot, mermaid or json"},
    {"schema", OPTION_SCHEMA, NULL, "print the JSON Schema instead"},
    {"no-color", OPTION_NO_COLOR, NULL, "no colours (also: NO_COLOR in the environment)"},
    {"help", OPTION_HELP, NULL, "print this"},
};
const size_t option_row_count = sizeof option_rows / sizeof *option_rows;

const struct verb_row verb_rows[VERBS] = {
    [VERB_RUN] = {.name = "run",
                  .file = FILE_REQUIRED,
                  .options = OPTION_ONCE | OPTION_STATE | OPTION_JSON | OPTION_LOG | OPTION_TAKE_OVER | OPTION_NO_COLOR | OPTION_HELP,
                  .usage = "FILE [options]",
                  .summary = "run the pipeline of a file until a signal comes",
                  .text = "SIGTERM and SIGINT (Ctrl-C) end it in order: sources stop, what was read is stored; a second one ends it at\n"
                          "once. SIGHUP checks the file again and, when it is good, drains and goes on with it. A worker that dies is\n"
                          "started again. Log lines go to standard error; the account of --once goes to standard output.\n"
                          "\n"
                          "Exit codes: 0 done or stopped in order; 1 failed at run time; 2 the file or the command line is at fault;\n"
                          "3 this machine (another instance holds the state folder, no memory).",
                  .examples = "weir run pipelines/eonet.yaml\n"
                              "weir run pipelines/eonet.yaml --once --json\n"
                              "DATABASE_URL=postgresql://me@db/events weir run pipelines/eonet.yaml --log json"},
    [VERB_CHECK] = {.name = "check",
                    .file = FILE_REQUIRED,
                    .options = OPTION_CONNECT | ASKING,
                    .usage = "FILE [--connect] [--json]",
                    .summary = "say what is wrong with a pipeline file, all at once",
                    .text =
                        "Every mistake with file:line:column, the line, and a suggestion where a name is close. --connect also tries the\n"
                        "targets and says what a run would create, and whether the line is encrypted and verified.\n"
                        "\n"
                        "Exit codes: 0 good; 2 the file is at fault; 3 a target cannot be used as it is.",
                    .examples = "weir check pipelines/eonet.yaml\nweir check pipelines/eonet.yaml --connect"},
    [VERB_STATUS] = {.name = "status",
                     .file = FILE_OPTIONAL,
                     .options = ASKING,
                     .usage = "[FILE] [--state DIR] [--json]",
                     .summary = "what each worker of a running instance does",
                     .text = "Finds the instance by its state folder: --state, $WEIR_STATE, or the one that FILE names.\n"
                             "\n"
                             "Exit codes: 0; 2 the command line; 3 no instance runs there.",
                     .examples = "weir status pipelines/eonet.yaml\n"
                                 "weir status --state /var/lib/weir/state --json | jq '.nodes[] | select(.state != \"idle\")'"},
    [VERB_GRAPH] = {.name = "graph",
                    .file = FILE_REQUIRED,
                    .options = OPTION_FORMAT | ASKING,
                    .usage = "FILE [--format text|dot|mermaid|json] [--json]",
                    .summary = "draw who reads whom",
                    .text = "--json (or --format json): nodes with their kinds, lanes and forms, and edges by name.\n\nExit codes: 0 good; "
                            "2 the file is at fault.",
                    .examples = "weir graph pipelines/eonet.yaml\nweir graph pipelines/eonet.yaml --format dot | dot -Tsvg > eonet.svg"},
    [VERB_DLQ] = {.name = "dlq",
                  .file = FILE_OPTIONAL,
                  .options = ASKING,
                  .words = true,
                  .usage = "list|show|export|retry|drop FILE [ID] [--node NODE] [--code CODE] [--since TIME] [--limit N] [--all] [--yes]",
                  .summary = "look at the dead letters, send them again, or drop them",
                  .text =
                      "list    one line each, oldest first; --json an array\n"
                      "show    one letter whole, with its original; the beginning of the id is enough\n"
                      "export  one JSON object a line, with the originals\n"
                      "retry   those that fit (without a filter: all) go through their node again; only the row that died is stored. A\n"
                      "        running instance does it beside its work, without one it is done at once. What fails again is a dead\n"
                      "        letter again\n"
                      "drop    for good: those that fit, or --all\n"
                      "\n"
                      "--since is a time (2025-11-08T12:00:00Z) or how long ago (2h). Letters lie where their sink stores them, beside a\n"
                      "running instance or without one: table weir_dead of a database, dead.db of the state folder. With\n"
                      "dead_letters.topic those of a topic, and of what flows into topics alone, lie in that topic only, in the\n"
                      "transaction of its rows.\n"
                      "\n"
                      "Exit codes: 0; 1 a store cannot be reached, or there is no such letter; 2 the command line or the file.",
                  .examples = "weir dlq list pipelines/eonet.yaml --code cast --since 1d\n"
                              "weir dlq show pipelines/eonet.yaml 4be0\n"
                              "weir dlq export pipelines/eonet.yaml > dead.ndjson\n"
                              "weir dlq retry pipelines/eonet.yaml --code on_the_globe\n"
                              "weir dlq drop pipelines/eonet.yaml --node cleaned --yes"},
    [VERB_POSITIONS] =
        {.name = "positions",
         .file = FILE_OPTIONAL,
         .options = ASKING,
         .words = true,
         .usage = "show|set|rename FILE [SINK ...] [--source S] [--partition P] [--to POSITION|earliest|latest|forget] [--dry-run|--yes]",
         .summary = "how far each sink is, and changing that",
         .text = "show    what each sink has stored, per source and partition; --json an array. `refused` (JSON: dead) are the rows that\n"
                 "        the target itself did not take; `weir dlq list` has the dead letters of all nodes\n"
                 "set     of each SINK: --to a position, earliest (everything again), latest (only what comes from now on) or forget\n"
                 "        (as if it had never run). A position inside of a record, or behind the end, is refused. The next stream of that\n"
                 "        name is taken whatever its identity: this is how a lost or replaced state folder is answered.\n"
                 "rename  of SINK: --pipeline OLD, --sink OLD, --source OLD=NEW, --edge OLD=NEW: what was stored under an old name\n"
                 "        belongs to the new one, the one in FILE.\n"
                 "\n"
                 "What a change repeats or skips is told first. A running instance goes back and starts again from the new place.\n"
                 "\n"
                 "Exit codes: 0; 1 a store cannot be reached or refuses; 2 the command line or the file.",
         .examples = "weir positions show pipelines/eonet.yaml --json\n"
                     "weir positions set pipelines/eonet.yaml events_table --to earliest --dry-run\n"
                     "weir positions rename pipelines/eonet.yaml events_table --pipeline old_name --yes"},
    [VERB_STOP] = {.name = "stop",
                   .file = FILE_OPTIONAL,
                   .options = ASKING,
                   .usage = "[FILE] [--state DIR]",
                   .summary = "end a running instance in order, and wait for it",
                   .text = "As SIGTERM: sources stop, what was read is stored. Returns when the instance is gone.\n"
                           "\n"
                           "Exit codes: 0; 2 the command line; 3 no instance runs there.",
                   .examples = "weir stop pipelines/eonet.yaml"},
    [VERB_RELOAD] = {.name = "reload",
                     .file = FILE_OPTIONAL,
                     .options = ASKING,
                     .usage = "[FILE] [--state DIR]",
                     .summary = "let a running instance go on with the changed file",
                     .text =
                         "As SIGHUP: the file is checked; a bad one is told and changes nothing; with a good one the instance drains and\n"
                         "starts again from durable positions, as the same process.\n"
                         "\n"
                         "Exit codes: 0 the file is good; 1 it is not, the old one goes on; 3 no instance runs there.",
                     .examples = "weir reload pipelines/eonet.yaml"},
    [VERB_VERSION] = {.name = "version",
                      .options = OPTION_JSON | OPTION_HELP,
                      .usage = "[--json]",
                      .summary = "the version of weir and of what it is built on",
                      .text = "The library versions are those that are loaded now.",
                      .examples = "weir version"},
    [VERB_HELP] = {.name = "help",
                   .options = OPTION_HELP,
                   .usage = "[VERB]",
                   .summary = "what the verbs do, with examples",
                   .text = "Without a verb: the list of them.",
                   .examples = "weir help run"},
    [VERB_REFERENCE] = {.name = "reference",
                        .options = OPTION_SCHEMA | OPTION_HELP,
                        .hidden = true,
                        .usage = "[--schema]",
                        .summary = "print docs/reference.md, or the JSON Schema, from the settings table",
                        .text = "For `make reference`.",
                        .examples = "weir reference > docs/reference.md"},
};
