#!/usr/bin/python3
"""Measures a topic of a real broker through SQL into PostgreSQL and into another topic, beside the limits of this machine in the same run.

    bench/kafka.py [throughput|latency] [--records N] [--rounds N] [--lanes N]     (both without a word; `make bench-kafka` builds and runs it)

WEIR names the program (./weir otherwise), BENCH the folder of the C programs (build/release/bench otherwise). YARDSTICK may name a
hand-written program for the same work: `KAFKA=HOST:PORT PG...=.. WRITERS=2 YARDSTICK append|upsert TOPIC TABLE` must copy the topic into the table
and go on; it is then run in turn with weir. Broker and PostgreSQL are started here, with their data in temporary folders.

throughput: 2,000,000 records of 200 bytes in 4 partitions, lz4. Rate into PostgreSQL = rows / (max(landed) - min(landed)), where `landed` is the
server's clock at the row: it leaves the start out. Every table is counted: a rate of rows that are not there says nothing.
latency: 5,000 and 50,000 records a second without linger; from the producer's stamp (in `id`) to `landed`.
"""
import argparse
import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from support import instance, kafka, postgres  # noqa: E402

WEIR = os.environ.get("WEIR", str(ROOT / "weir"))
BENCH = pathlib.Path(os.environ.get("BENCH", str(ROOT / "build" / "release" / "bench")))
YARDSTICK = os.environ.get("YARDSTICK")
COLUMNS = "id bigint, user_id int, name text, email text, amount float8, ts timestamptz, note text, landed timestamptz DEFAULT clock_timestamp()"
FIELDS = "id, user_id, name, email, amount, ts, note"
NEVER = 120
TICK = os.sysconf("SC_CLK_TCK")


# ---- processes

def cpu_seconds(pid):
    """User and system time of a process, threads included."""
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        words = file.read().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / TICK


def main_thread(pid):
    """(running, ready but without a processor) seconds of the thread that does the work."""
    with open(f"/proc/{pid}/task/{pid}/schedstat", encoding="utf-8") as file:
        running, ready, _ = file.read().split()
    return int(running) / 1e9, int(ready) / 1e9


def pss_mib(pids):
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
    return total / 1024


class Usage:
    """What a tree of processes has used between two looks."""

    def __init__(self, workers):
        self.workers = workers
        self.began, self.cpu = time.monotonic(), {pid: cpu_seconds(pid) for pid in workers}
        self.main = {pid: main_thread(pid) for pid in workers}
        self.peak = pss_mib(workers)

    def sample(self):
        self.peak = max(self.peak, pss_mib(self.workers))

    def report(self, records):
        wall = time.monotonic() - self.began
        lines, total = [], 0.0
        for pid, name in self.workers.items():
            cpu = cpu_seconds(pid) - self.cpu[pid]
            running, ready = (after - before for after, before in zip(main_thread(pid), self.main[pid]))
            total += cpu
            lines.append(f"    {name:24} {cpu * 1e6 / records:6.3f} CPU s per million, {100 * (1 - (running + ready) / wall):3.0f} % waited, "
                         f"{100 * ready / wall:3.0f} % ready without a processor")
        return total * 1e6 / records, lines


# ---- servers

class Broker(kafka.Kafka):
    """Tests start small brokers fast; this one compiles what it runs often, as a broker in use does."""

    def java(self, *arguments):
        return [word for word in super().java(*arguments) if word != "-XX:TieredStopAtLevel=1"]


class Servers:
    def __init__(self):
        self.kafka = Broker()
        self.postgres = postgres.Postgres(["shared_buffers=512MB", "max_wal_size=8GB", "checkpoint_timeout=1h"])
        self.folder = tempfile.mkdtemp(prefix="weir-bench-")

    def close(self):
        self.postgres.close()
        self.kafka.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def query(self, sql):
        connection = self.postgres.connect("postgres")
        try:
            cursor = connection.cursor()
            cursor.execute(sql)
            return cursor.fetchone() if cursor.description else None
        finally:
            connection.close()

    def make_table(self, table, mode):
        self.query(f"DROP TABLE IF EXISTS {table}")
        self.query(f"CREATE TABLE {table} ({COLUMNS}{', PRIMARY KEY (id)' if mode == 'upsert' else ''})")
        self.query("CHECKPOINT")

    def program(self, name, *arguments, **more):
        done = subprocess.run([str(BENCH / name), *map(str, arguments)], stdout=subprocess.PIPE, check=True, text=True, **more)
        return json.loads(done.stdout)

    def produce(self, topic, *arguments):
        return self.program("produce_bench", self.kafka.servers, topic, *arguments)

    def conninfo(self):
        return f"host=127.0.0.1 port={self.postgres.port} user=weir dbname=postgres"

    def landed(self, table, records):
        """Rows a second by the server's clock, and when the first one was there; every record must be in, once."""
        rows, ids, seconds, first = self.query(
            f"SELECT count(*), count(DISTINCT id), extract(epoch FROM max(landed) - min(landed)), extract(epoch FROM min(landed)) FROM {table}")
        if rows != records or ids != records:
            raise RuntimeError(f"{table} has {rows} rows and {ids} ids of {records}")
        return records / float(seconds), float(first)

    def wait_for_rows(self, table, records, process, each=lambda: None):
        """By the statistics as long as they grow, which cost nothing; then counted."""
        end, seen, still = time.monotonic() + NEVER, -1, 0
        while time.monotonic() < end:
            if process.poll() is not None:
                raise RuntimeError(f"{process.args[0]} ended with {process.returncode}")
            each()
            (inserted,) = self.query(f"SELECT n_tup_ins FROM pg_stat_user_tables WHERE relname = '{table}'")
            still = still + 1 if inserted == seen else 0
            seen = inserted
            if (inserted >= records or still >= 20) and self.query(f"SELECT count(*) FROM {table}")[0] >= records:
                return
            time.sleep(0.05)
        raise RuntimeError(f"{table}: not all rows within {NEVER} s")


# ---- weir

PIPELINE = """\
pipeline: {name}
kafka: {{brokers: "{brokers}"}}
topics:
  records: {{topic: {topic}, start: earliest, lanes: {lanes}}}
{more}transforms:
  all: {{sql: "SELECT {fields} FROM records"}}
sinks: {sinks}
"""
TABLE = '\n  out: {{from: all, type: table, url: "{url}", table: {table}, mode: {mode}{key}}}'


@contextlib.contextmanager
def weir(servers, text, name):
    """`weir run` of that pipeline; gives its process, and its log when it ends by itself."""
    folder = pathlib.Path(servers.folder, name)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "p.yaml").write_text(text, encoding="utf-8")
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen([WEIR, "run", str(folder / "p.yaml"), "--state", str(folder / "state")], stdout=log, stderr=log)
    try:
        yield process
    except RuntimeError:
        sys.stderr.write((folder / "log").read_text(encoding="utf-8", errors="replace")[-3000:])
        raise
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def workers_of(process):
    """pid -> role/node of the workers; pid -> "supervisor" for itself."""
    found = {process.pid: "supervisor"}
    for pid in instance.children(process.pid):
        worker = instance.worker_of(pid)
        if worker:
            found[pid] = f"{worker.role} {worker.node}"
    return found


class Watch:
    """Looks at the workers as soon as they are there, and at their memory now and then."""

    def __init__(self, process):
        self.process, self.usage, self.looked = process, None, 0.0

    def __call__(self):
        workers = workers_of(self.process)
        if self.usage is None or set(workers) - set(self.usage.workers):
            self.usage = Usage(workers)
            for pid in workers:  # from their start, not from the first look
                self.usage.cpu[pid], self.usage.main[pid] = 0.0, (0.0, 0.0)
        elif time.monotonic() - self.looked > 0.25:
            self.usage.sample()
            self.looked = time.monotonic()


def weir_into_table(servers, topic, mode, records, options, name):
    servers.make_table(name, mode)
    sinks = TABLE.format(url=servers.postgres.url("postgres"), table=name, mode=mode, key=", key: id" if mode == "upsert" else "")
    text = PIPELINE.format(name=name, brokers=servers.kafka.servers, topic=topic, lanes=options.lanes, fields=FIELDS, more="", sinks=sinks)
    began = time.time()
    with weir(servers, text, name) as process:
        watch = Watch(process)
        servers.wait_for_rows(name, records, process, watch)
        cpu, lines = watch.usage.report(records)
        peak = watch.usage.peak
    rate, first = servers.landed(name, records)
    return {"rate": rate, "cpu": cpu, "lines": lines, "peak": peak, "first": first - began}


def weir_into_topic(servers, topic, records, options, name):
    servers.kafka.create_topic(name, 4)
    text = PIPELINE.format(name=name, brokers=servers.kafka.servers, topic=topic, lanes=options.lanes, fields=FIELDS,
                           more=f"  {name}: {{from: all}}\n", sinks="{}")
    began = time.time()
    state = pathlib.Path(servers.folder, name)
    first = last = None
    with weir(servers, text, name) as process:
        watch = Watch(process)
        end = time.monotonic() + NEVER
        while last is None and time.monotonic() < end and process.poll() is None:
            watch()
            asked = subprocess.run([WEIR, "status", str(state / "p.yaml"), "--state", str(state / "state"), "--json"], capture_output=True, text=True)
            nodes = json.loads(asked.stdout)["nodes"] if asked.returncode == 0 else []
            out = sum(node["out"] for node in nodes if node["name"] == name)
            now = time.time()
            first = now if out > 0 and first is None else first
            last = now if out >= records else None
            time.sleep(0.05)
        if process.poll() is not None:
            raise RuntimeError(f"weir ended with {process.returncode}")
        if last is None:
            raise RuntimeError(f"not all records were written within {NEVER} s")
        cpu, lines = watch.usage.report(records)
        peak = watch.usage.peak
    counted = servers.program("consume_bench", servers.kafka.servers, name, records)
    return {"rate": records / (last - first), "cpu": cpu, "lines": lines, "peak": peak, "first": first - began, "read back": counted}


# ---- the yardstick

@contextlib.contextmanager
def yardstick(servers, mode, topic, table):
    environment = dict(os.environ, KAFKA=servers.kafka.servers, WRITERS="2", PGHOST="127.0.0.1", PGPORT=str(servers.postgres.port),
                       PGUSER="weir", PGDATABASE="postgres")
    process = subprocess.Popen([YARDSTICK, mode, topic, table], env=environment)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def yardstick_into_table(servers, topic, mode, records, name):
    servers.make_table(name, mode)
    began = time.time()
    with yardstick(servers, mode, topic, name) as process:
        peak = [0.0]

        def look():
            peak[0] = max(peak[0], pss_mib([process.pid]))
        servers.wait_for_rows(name, records, process, look)
        cpu = cpu_seconds(process.pid) * 1e6 / records
    rate, first = servers.landed(name, records)
    return {"rate": rate, "cpu": cpu, "peak": peak[0], "first": first - began}


# ---- the two parts

def say(name, result):
    print(f"{name}: {result['rate'] / 1e3:.0f} k/s, {result['cpu']:.3f} CPU s per million, peak {result['peak']:.0f} MiB PSS, "
          f"first row after {result['first']:.2f} s", flush=True)
    for line in result.get("lines", []):
        print(line, flush=True)


def compare(what, weirs, yards):
    if yards:
        pairs = ", ".join("%.2f" % (one["rate"] / other["rate"]) for one, other in zip(weirs, yards))
        print(f"== {what}: weir / yardstick {pairs}, turn by turn", flush=True)


def copy_limit(servers, records, writers):
    servers.make_table("bare_copy", "append")
    done = servers.program("copy_bench", servers.conninfo(), "bare_copy", records, writers)
    rate, _ = servers.landed("bare_copy", records)
    print(f"limit, COPY BINARY by a bare loop, {writers} connections: {rate / 1e3:.0f} k/s, {done['cpu_s_per_million']:.3f} CPU s per million", flush=True)


def throughput(servers, options):
    topic = servers.kafka.create_topic("records", 4, {"segment.bytes": "1073741824"})
    made = servers.produce(topic, options.records)
    print(f"{options.records} records of 200 bytes in 4 partitions, lz4; produced at {made['records_s'] / 1e3:.0f} k/s", flush=True)
    read = servers.program("consume_bench", servers.kafka.servers, topic, options.records)
    print(f"limit, librdkafka consuming and counting: {read['records_s'] / 1e3:.0f} k/s, {read['cpu_s_per_million']:.3f} CPU s per million", flush=True)
    for writers in (1, 2):
        copy_limit(servers, options.records, writers)
    for mode in ("append", "upsert"):
        weirs, yards = [], []
        for turn in range(options.rounds):
            if YARDSTICK:
                yards.append(yardstick_into_table(servers, topic, mode, options.records, f"yardstick_{mode}_{turn}"))
                say(f"yardstick, {mode}", yards[-1])
            weirs.append(weir_into_table(servers, topic, mode, options.records, options, f"weir_{mode}_{turn}"))
            say(f"weir, {options.lanes} lanes, {mode}", weirs[-1])
            for table in (f"yardstick_{mode}_{turn}", f"weir_{mode}_{turn}"):
                servers.query(f"DROP TABLE IF EXISTS {table}")
        compare(mode, weirs, yards)
    say(f"weir, {options.lanes} lanes, into a topic with transactions", weir_into_topic(servers, topic, options.records, options, "copied"))


def single_commit(servers):
    """p99 in milliseconds of one row, one COMMIT, by one connection."""
    import psycopg2
    connection = psycopg2.connect(servers.conninfo())
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute("CREATE TABLE IF NOT EXISTS single (id bigint)")
    took = []
    for n in range(500):
        began = time.perf_counter()
        cursor.execute("INSERT INTO single VALUES (%s)", (n,))
        took.append(time.perf_counter() - began)
    connection.close()
    return sorted(took)[int(len(took) * 0.99)] * 1e3


def delays(servers, table, records):
    """p50, p99 and the longest, in milliseconds, of the records behind the first two seconds."""
    rows = servers.query(f"SELECT count(*) FROM {table}")[0]
    if rows != records:
        raise RuntimeError(f"{table} has {rows} rows of {records}")
    return [float(value) for value in servers.query(
        f"WITH d AS (SELECT extract(epoch FROM landed) * 1000 - id / 1000.0 AS ms FROM {table} WHERE id > (SELECT min(id) + 2000000 FROM {table})) "
        "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY ms), percentile_cont(0.99) WITHIN GROUP (ORDER BY ms), max(ms) FROM d")]


def steady(servers, rate, seconds, options, who, turn):
    name = f"{who}_{rate}_{turn}"
    topic = servers.kafka.create_topic(f"steady_{name}", 4)
    servers.make_table(name, "append")
    records = rate * seconds
    if who == "weir":
        sinks = TABLE.format(url=servers.postgres.url("postgres"), table=name, mode="append", key="")
        running = weir(servers, PIPELINE.format(name=name, brokers=servers.kafka.servers, topic=topic, lanes=options.lanes, fields=FIELDS, more="",
                                                sinks=sinks), name)
    else:
        running = yardstick(servers, "append", topic, name)
    with running as process:
        time.sleep(2)  # it waits at the end of the empty topic
        servers.produce(topic, records, rate)
        servers.wait_for_rows(name, records, process)
    found = delays(servers, name, records)
    print(f"{who}, {rate} records/s: p50 {found[0]:.1f}, p99 {found[1]:.1f}, longest {found[2]:.1f} ms", flush=True)
    return found[1]


def latency(servers, options):
    for rate in (5000, 50000):
        for turn in range(options.rounds):
            other = steady(servers, rate, 10, options, "yardstick", turn) if YARDSTICK else None
            own = steady(servers, rate, 10, options, "weir", turn)
            commit = single_commit(servers)
            print(f"single-row COMMIT: p99 {commit:.1f} ms", flush=True)
            if other is not None:
                print(f"== {rate} records/s: weir {own:.1f}, yardstick + COMMIT {other + commit:.1f} ms", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=["throughput", "latency"])
    parser.add_argument("--records", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--lanes", type=int, default=2)
    options = parser.parse_args()
    if not YARDSTICK:
        print("no yardstick was named (YARDSTICK=PROGRAM), so there are no ratios: bench/README.md says what such a program must do", flush=True)
    servers = Servers()
    try:
        for part in (throughput, latency):
            if options.part in (None, part.__name__):
                part(servers, options)
    finally:
        servers.close()


if __name__ == "__main__":
    main()
