#!/usr/bin/python3
"""Measures whole pipelines: memory at rest, start to first row, rows a second.

    bench/pipelines.py [idle|throughput]        (both without an argument; WEIR names the program, ./weir otherwise)

idle: the EONET pipeline against the simulator of this repository: PSS of all its processes once it rests, and the milliseconds from
start to the first row in the table. throughput: `generate` and NDJSON files into SQLite, PostgreSQL and a file, with the CPU seconds of weir.
PSS is the kernel's own figure (/proc/PID/smaps_rollup): a page shared by n processes counts 1/n in each.
"""
import contextlib
import json
import os
import pathlib
import resource
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
WEIR = os.environ.get("WEIR", str(ROOT / "weir"))
sys.path.insert(0, str(ROOT / "tests"))

from support.postgres import Postgres  # noqa: E402


def children(pid):
    """The process and everything below it."""
    found = [pid]
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += children(int(child))
    return found


def pss_kib(pid):
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    raise RuntimeError(f"no Pss line for {pid}")


def rows_of(path):
    """Rows in the table, 0 while it is not there yet."""
    if not os.path.exists(path):
        return 0
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=0)) as db:
        try:
            return db.execute("SELECT count(*) FROM events").fetchone()[0]
        except sqlite3.OperationalError:
            return 0


@contextlib.contextmanager
def simulator():
    program = ROOT / "pipelines" / "simulators" / "eonet.py"
    process = subprocess.Popen([sys.executable, str(program), "--port", "0"], stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        yield int(line.rstrip().rsplit(":", 1)[-1].split("/")[0])
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def idle():
    with tempfile.TemporaryDirectory() as folder, simulator() as port:
        target = f"{folder}/eonet.db"
        environment = dict(os.environ, EONET_URL=f"http://127.0.0.1:{port}/api/v3/events", DATABASE_URL=f"sqlite:{target}")
        began = time.monotonic()
        weir = subprocess.Popen([WEIR, "run", str(ROOT / "pipelines/eonet.yaml"), "--state", f"{folder}/state"],
                                env=environment, stderr=subprocess.PIPE, text=True)
        try:
            while rows_of(target) == 0:
                if weir.poll() is not None:
                    raise RuntimeError(f"weir ended: {weir.stderr.read()}")
                if time.monotonic() - began > 60:
                    raise RuntimeError("no row after a minute")
                time.sleep(0.001)
            first = time.monotonic() - began
            before = -1
            while rows_of(target) != before:  # at rest: two looks one second apart agree
                before = rows_of(target)
                time.sleep(1)
            pids = children(weir.pid)
            memory = sum(pss_kib(pid) for pid in pids)
            print(f"idle EONET pipeline: {memory / 1024:.1f} MiB PSS in {len(pids)} processes (aim 30), "
                  f"first row after {first * 1000:.0f} ms (aim 100), {before} rows")
        finally:
            weir.send_signal(signal.SIGTERM)
            weir.wait()


ROUTES = {
    "generate -> file": ("{type: generate, count: COUNT, sql: \"SELECT n AS id, n % 1000 AS user_id, 'name' || n AS name, n * 0.5 AS amount\"}",
                         "{from: rows, type: file, path: FOLDER/out.ndjson}"),
    "file -> SQLite": ("{type: file, path: FOLDER/in.ndjson}",
                       "{from: rows, type: table, url: \"sqlite:FOLDER/out.db\", table: t, mode: append}"),
    "file -> PostgreSQL, append": ("{type: file, path: FOLDER/in.ndjson}",
                                   "{from: rows, type: table, url: \"URL\", table: appended, mode: append}"),
    "file -> PostgreSQL, upsert": ("{type: file, path: FOLDER/in.ndjson}",
                                   "{from: rows, type: table, url: \"URL\", table: upserted, mode: upsert, key: id}"),
    "file -> file": ("{type: file, path: FOLDER/in.ndjson}", "{from: rows, type: file, path: FOLDER/out.ndjson}"),
}


def write_input(path, count):
    with open(path, "w", encoding="utf-8") as out:
        for n in range(1, count + 1):
            out.write(json.dumps({"id": n, "user_id": n % 1000, "name": f"name {n}", "email": f"user{n}@example.org", "amount": n * 0.25,
                                  "ts": "2026-11-21T00:00:00.123Z", "note": "x" * 60}, separators=(",", ":")) + "\n")


COLUMNS = "user_id int, name text, email text, amount float8, ts timestamptz, note text, landed timestamptz DEFAULT clock_timestamp()"


def throughput(count=500_000):
    with contextlib.closing(Postgres()) as server:
        with contextlib.closing(server.connect("postgres")) as connection:
            connection.cursor().execute(f"CREATE TABLE appended (id bigint, {COLUMNS}); CREATE TABLE upserted (id bigint PRIMARY KEY, {COLUMNS})")
        routes(count, server.url("postgres"))


def routes(count, url):
    for route, (source, sink) in ROUTES.items():
        with tempfile.TemporaryDirectory() as folder:
            write_input(f"{folder}/in.ndjson", count)
            fill = lambda text: text.replace("FOLDER", folder).replace("COUNT", str(count)).replace("URL", url)
            columns = "id, user_id, name, amount" if source.startswith("{type: gen") else "id, user_id, name, email, amount, ts, note"
            pathlib.Path(f"{folder}/p.yaml").write_text(
                f"sources:\n  input: {fill(source)}\ntransforms:\n  rows: {{sql: \"SELECT {columns} FROM input\"}}\nsinks:\n  out: {fill(sink)}\n",
                encoding="utf-8")
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            began = time.monotonic()
            done = subprocess.run([WEIR, "run", f"{folder}/p.yaml", "--once", "--state", f"{folder}/state"], capture_output=True, text=True)
            seconds = time.monotonic() - began
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            if done.returncode != 0:
                raise RuntimeError(done.stderr)
            cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            print(f"{route}: {count / seconds / 1e3:.0f} k rows/s, {cpu * 1e6 / count:.2f} CPU s per million, {count} rows of 200 bytes")


if __name__ == "__main__":
    what = sys.argv[1] if len(sys.argv) > 1 else "all"
    if what in ("all", "idle"):
        idle()
    if what in ("all", "throughput"):
        throughput()
