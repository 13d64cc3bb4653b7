"""A route under test: inputs in a folder, behind an address or in a topic, a pipeline file, a target; and weir run over it.

Routes: file-sqlite, file-postgres (two NDJSON files, append, no key), file-file (into NDJSON), http-sqlite, http-postgres (numbered
records behind an address, through the journal, `emit: changed`), trim-sqlite (the address shows each record once, `emit: all`, and the
journal forgets what every sink has). With a real Kafka broker: topic-sqlite, topic-postgres, topic-topic, http-topic, file-topic; a topic
has a partition for each of the ledger's, and between its records lie those of aborted transactions.
"""
import json
import os
import shutil
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from support import instance, kafka_server, postgres, targets, tcp_proxy, web  # noqa: E402
from support.waiting import NEVER, eventually  # noqa: E402

from ledger import Ledger, faults_of  # noqa: E402

ROUTES = ["file-sqlite", "file-postgres", "file-file", "http-sqlite", "http-postgres", "trim-sqlite",
          "topic-sqlite", "topic-postgres", "topic-topic", "http-topic", "file-topic"]
SOURCE, STAGE, SINK = "lines", "cleaned", "rows"
SKIPPED = 77  # exit status of a program that could not try anything here
WINDOW = 5000  # records that an address shows to an instance that lives on: the newest

PIPELINE = """\
pipeline: %(pipeline)s
%(nodes)s
transforms:
  cleaned:
    sql: >
      SELECT l.part, l.n, i.value AS item, uuid() AS id, l.text FROM lines l, each(l.items) i WHERE l.keep
    columns: {part: text not null, n: bigint not null, item: bigint not null, id: text not null, text: text}
    checks: {not_negative: item >= 0}
%(sinks)s
"""
FILE_SOURCE = """\
sources:
  lines:
    type: file
    path: "%(folder)s/in/*.ndjson"
    lanes: %(lanes)d
    follow: %(follow)s
    poll: 2ms
    start: %(start)s
"""
HTTP_SOURCE = """\
sources:
  lines:
    type: http
    url: "%(address)s"
    records: records
    key: key
    emit: %(emit)s
    keep: %(keep)s
    every: 100ms
"""
TOPIC_SOURCE = """\
  lines: {topic: %(topic)s, lanes: %(lanes)d, start: %(start)s, assign: %(assign)s}
"""
TOPIC_SINK = """\
  rows: {from: cleaned, topic: %(topic)s, key: part, rows: %(rows)d, commit_every: %(commit)s, transaction_timeout: %(timeout)s}
"""
KAFKA = """\
kafka: {brokers: "%(brokers)s", security: plaintext}
topics:
%(topics)s"""
FILE_SINK_TEXT = """\
  %(name)s: {from: cleaned, type: file, path: "%(path)s"}
"""
SINK_TEXT = """\
  %(name)s: {from: cleaned, type: table, url: "%(url)s", table: %(table)s, mode: append, rows: %(rows)d, commit_every: %(commit)s}
"""


class Failure(Exception):
    """A rule was broken: something lost, doubled, miscounted, or an end that should not be."""


class Servers:
    """What the routes stand on, each started when a route first asks for it: PostgreSQL; Kafka, and a proxy before it."""

    def __init__(self, version="4.1", settings=None):
        self.version, self.settings = version, settings or {}
        self.made_postgres = self.made_kafka = None
        self.proxy = None

    @property
    def postgres(self):
        self.made_postgres = self.made_postgres or postgres.Postgres()
        return self.made_postgres

    @property
    def kafka(self):
        if self.made_kafka is None:
            self.proxy = tcp_proxy.Proxy()
            port = kafka_server.free_ports(1)[0]
            self.made_kafka = self.start_kafka({"PROXY": ("127.0.0.1", port, "127.0.0.1", self.proxy.port)})
            self.proxy.to = ("127.0.0.1", port)
        return self.made_kafka

    def start_kafka(self, listeners):
        """Where no broker can be had the program ends with SKIPPED, and says why; on the CI machine that is a failure."""
        try:
            from support import kafka  # here, because confluent-kafka is needed by these routes alone
            return kafka.Kafka(self.version, listeners=listeners, settings=self.settings)
        except (ImportError, kafka_server.KafkaUnavailable) as reason:
            print("skipped: no Kafka %s: %s" % (self.version, reason))
            sys.exit(1 if os.environ.get("CI") == "true" else SKIPPED)

    def close(self):
        for one in (self.made_postgres, self.made_kafka, self.proxy):
            if one:
                one.close()

    def heal(self):
        """What a scenario before has left dead or disturbed is put right for the next one."""
        if self.made_postgres and self.made_postgres.process is None:
            self.made_postgres.start()
        if self.made_kafka and self.made_kafka.process is None:
            self.made_kafka.start()
        if self.proxy:
            self.proxy.forget()
            self.proxy.stall_all(False)
            self.proxy.refuse(False)


class Route:
    begun = 0

    def __init__(self, name, seed, servers, lanes=1, rows=1000, commit="20ms", program=None, parts=("a", "b")):
        self.name, self.seed = name, seed
        self.source_kind, self.target_kind = name.split("-")
        self.parts = parts
        self.folder = tempfile.mkdtemp(prefix="weir-crash-")
        self.lanes, self.sink_rows, self.commit = lanes, rows, commit
        self.program = program or instance.weir_program()
        self.servers, self.site, self.started = servers, None, 0
        self.assign, self.transaction_timeout, self.through_proxy = "static", "15s", False
        if self.over_http:
            self.site = web.Site(etag=self.source_kind == "http")
            self.site.pages["/records"] = lambda path: self.page()
        os.mkdir(os.path.join(self.folder, "in"))
        self.begin()

    @property
    def over_http(self):
        return self.source_kind in ("http", "trim")

    @property
    def server(self):
        return self.servers.postgres

    @property
    def kafka(self):
        return self.servers.kafka

    @property
    def brokers(self):
        """Where weir finds the broker."""
        return self.servers.proxy.address if self.through_proxy else self.kafka.servers

    def begin(self):
        """New inputs, a new target, no state. A name of its own, because positions of a topic outlive it in the cluster."""
        Route.begun += 1
        self.pipeline = "crash%d" % Route.begun
        self.ledger = Ledger(self.seed, self.parts)
        self.topic = self.aborter = self.writer = None
        if self.source_kind == "topic":
            self.topic = self.kafka.create_topic(partitions=len(self.parts))
            self.writer = self.kafka.producer(enable_idempotence=True)
        self.records, self.follow, self.sinks, self.shown = [], False, None, 0
        self.start = "earliest"
        self.emit, self.keep = ("all", "0s") if self.source_kind == "trim" else ("changed", "24h")
        for name in os.listdir(os.path.join(self.folder, "in")):
            os.unlink(os.path.join(self.folder, "in", name))
        shutil.rmtree(self.state, ignore_errors=True)
        self.target = self.new_target()

    def new_target(self):
        number = Route.targets = getattr(Route, "targets", 0) + 1
        if self.target_kind == "sqlite":
            return targets.SqliteTarget(os.path.join(self.folder, "target%d.db" % number))
        if self.target_kind == "file":
            return targets.FileTarget(os.path.join(self.folder, "target%d.ndjson" % number), self.state)
        if self.target_kind == "topic":
            return targets.TopicTarget(self.kafka, self.kafka.create_topic(partitions=3), self.kafka.create_topic())
        made = targets.PostgresTarget(self.server, "crash%d" % number)
        if self.source_kind == "topic":
            made.query("CREATE TABLE rows_out (part text NOT NULL, n bigint NOT NULL, item bigint NOT NULL, id text NOT NULL, text text, "
                       "seq bigserial)")
        return made

    @property
    def state(self):
        return os.path.join(self.folder, "state")

    def path(self, part):
        return os.path.join(self.folder, "in", part + ".ndjson")

    def feed(self, how_many):
        """Adds inputs. A file grows by whole lines here and there by half lines, as a writer in the middle of its work leaves it."""
        texts = {}
        for part, line in self.ledger.lines(how_many):
            texts.setdefault(part, []).append(line)
        if self.source_kind == "topic":
            self.feed_topic(texts)
            return
        for part, lines in texts.items():
            if self.source_kind == "file":
                data = "".join(lines).encode()
                with open(self.path(part), "ab", buffering=0) as file:
                    file.write(data[: len(data) // 2])
                    file.write(data[len(data) // 2 :])
            else:
                self.records += [self.record(line) for line in lines]

    def feed_topic(self, texts):
        """Half of the records, then a transaction that is aborted, then the other half: a gap, and records that nobody may see."""
        for half in (0, 1):
            self.kafka.produce(self.topic, [{"value": line.rstrip("\n"), "partition": self.parts.index(part)} for part, lines in texts.items()
                                            for line in lines[half * len(lines) // 2 : (half + 1) * len(lines) // 2]], producer=self.writer)
            if half == 0:
                self.feed_aborted(texts)

    def feed_aborted(self, parts):
        if self.aborter is None:
            self.aborter = self.kafka.producer(transactional_id="aborter-" + self.topic)
            self.aborter.init_transactions(NEVER)
        self.aborter.begin_transaction()
        junk = '{"part": "%s", "n": 0, "keep": true, "items": [888888888], "text": "aborted"}'
        self.kafka.produce(self.topic, [{"value": junk % part, "partition": self.parts.index(part)} for part in parts], producer=self.aborter)
        self.aborter.abort_transaction(NEVER)

    def record(self, line):
        """What the address shows for an input. A broken line cannot stand in a JSON document: there it is a record without its fields."""
        try:
            made = json.loads(line)
        except ValueError:
            made = dict(json.loads(line.rstrip().rstrip(",") + "]}"), items=[], keep=False)
        return json.dumps(dict(made, key="%s%d" % (made["part"], made["n"])))

    def page(self):
        """All records; the newest of them when an instance lives on; each only once where nothing else is promised."""
        if self.emit == "all":
            start, self.shown = self.shown, len(self.records)
            shown = self.records[start : self.shown]
        else:
            shown = self.records[-WINDOW:] if self.follow else self.records
        return ('{"records": [' + ",\n".join(shown) + "]}").encode()

    def wait_for_window(self, running):
        """What an address no longer shows is gone, and no fault of weir: a feeder waits until most of it has arrived."""
        def look():
            if not running.alive:
                raise Failure("weir ended: %r" % running.result())
            return targets.count(self.target, "rows_out") >= self.ledger.rows - WINDOW // 4
        if self.over_http:
            eventually("the address was read", look)

    def write_pipeline(self):
        values = {"emit": self.emit, "keep": self.keep, "folder": self.folder, "start": self.start, "lanes": self.lanes,
                  "follow": "true" if self.follow else "false", "address": self.site.url("/records") if self.site else "",
                  "assign": self.assign, "topic": self.topic}
        nodes, topics = "", ""
        if self.source_kind == "topic":
            topics += TOPIC_SOURCE % values
        else:
            nodes = (FILE_SOURCE if self.source_kind == "file" else HTTP_SOURCE) % values
        if self.target_kind == "topic":
            topics += TOPIC_SINK % {"topic": self.target.topic, "rows": self.sink_rows, "commit": self.commit, "timeout": self.transaction_timeout}
            sinks = "dead_letters: {topic: %s}\n" % self.target.letters_topic
        else:
            sinks = "sinks:\n" + self.sink_text()
        if topics:
            nodes += KAFKA % {"brokers": self.brokers, "topics": topics}
        text = PIPELINE % {"pipeline": self.pipeline, "nodes": nodes, "sinks": sinks}
        path = os.path.join(self.folder, "pipeline.yaml")
        with open(path, "w") as file:
            file.write(text)
        return path

    def sink_text(self):
        if self.target_kind == "file":
            return FILE_SINK_TEXT % {"name": SINK, "path": self.target.path}
        sinks = self.sinks or [{"name": SINK, "url": self.target.url, "table": "rows_out"}]
        return "".join(SINK_TEXT % dict({"rows": self.sink_rows, "commit": self.commit}, **sink) for sink in sinks)

    def run(self, *more, once=False, env=None, state=None, through=()):
        """weir in the background on this route."""
        arguments = [self.write_pipeline(), "--state", state or self.state, *(["--once", "--json"] if once else []), *more]
        self.started += 1
        return instance.Instance(*arguments, cwd=self.folder, env=env, program=self.program, through=through,
                                 keep=os.path.join(self.folder, "weir-%d.log" % self.started))

    def ask(self, *arguments):
        return instance.weir(*arguments, "--state", self.state, cwd=self.folder, program=self.program)

    # What must be true.

    def dead_expected(self):
        """Over HTTP no input is unreadable: those are filtered there."""
        return self.ledger.total("bad_rows") if self.over_http else self.ledger.dead

    def arrived(self, target=None):
        one = target or self.target
        return targets.count(one, "rows_out") >= self.ledger.rows and targets.count(one, "weir_dead") >= self.dead_expected()

    def wait_for_all(self, running):
        def look():
            if not running.alive:
                raise Failure("weir ended before everything had arrived: %r" % running.result())
            return self.arrived()
        eventually("everything arrives (%d rows)" % self.ledger.rows, look, 5 * NEVER, pause=0.05)

    def audit(self, target=None, table="rows_out"):
        found = self.ledger.audit(target or self.target, table)
        if self.over_http:
            found["dead_lost"] = max(0, self.dead_expected() - found["dead"])
            found["dead_doubled"] = max(0, found["dead"] - self.dead_expected())
        wrong = faults_of(found)
        if wrong:
            raise Failure("%s: %s; inputs and target are kept in %s" % (self.name, wrong, self.folder))
        return found

    def check_account(self, account):
        """The account of weir against the ledger, node by node; only for one whole life of the instance."""
        if self.over_http:
            return
        for name, numbers in self.ledger.expected_account().items():
            for field, expected in numbers.items():
                told = sum(node[field] for node in account["nodes"] if node["name"] == name)  # the status has one for each lane
                if told != expected:
                    raise Failure("%s: the account of %s says %s = %s, the ledger %s" % (self.name, name, field, told, expected))

    def finish(self, result):
        if result.code != 0:
            raise Failure("%s: weir ended badly: %r" % (self.name, result))
        return result

    def once(self, env=None, *more):
        running = self.run(*more, once=True, env=env)
        try:
            return running.wait(5 * NEVER)
        finally:
            running.close()

    def close(self, keep=False):
        if self.site:
            self.site.close()
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)


def account_of(result):
    return json.loads(result.out.strip().splitlines()[-1])
