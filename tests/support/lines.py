"""A pipeline that follows lines of files into a table of SQLite, for tests of the supervisor; its fixtures are in e2e/conftest.py."""
import contextlib
import sqlite3

from support.targets import count
from support.waiting import eventually

PIPELINE = """\
pipeline: lines
drain_timeout: %(drain)s
sources:
  lines: {type: file, path: "in/*.ndjson", follow: true, poll: 5ms, lanes: %(lanes)d}
transforms:
  doubled:
    sql: SELECT n, n * 2 AS twice FROM lines
    columns: {n: bigint not null, twice: bigint}
sinks:
  out: {from: doubled, type: table, url: "%(url)s", table: numbers, mode: append, commit_every: 10ms}
"""


class Lines:
    """A pipeline that follows in/*.ndjson into a table."""

    def __init__(self, folder, target):
        self.folder, self.target = folder, target
        (folder / "in").mkdir()
        self.path = folder / "pipeline.yaml"
        self.write()

    def write(self, lanes=1, drain="30s", text=PIPELINE):
        self.path.write_text(text % {"lanes": lanes, "drain": drain, "url": self.target.url})

    def feed(self, numbers, name="a"):
        with open(self.folder / "in" / (name + ".ndjson"), "a") as file:
            file.write("".join('{"n": %d}\n' % n for n in numbers))

    def wait_for(self, expected, running=None):
        def look():
            assert running is None or running.alive, running.result()
            return count(self.target, "numbers") == expected
        eventually("%d rows" % expected, look)

    def numbers(self):
        return sorted(n for (n,) in self.target.query("SELECT n FROM numbers"))

    @contextlib.contextmanager
    def locked(self):
        """Nobody else writes into the SQLite file meanwhile."""
        holder = sqlite3.connect(self.target.path, timeout=60, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            holder.execute("ROLLBACK")
            holder.close()


def node(answer, name):
    return next(one for one in answer["nodes"] if one["name"] == name)


def blocked(status, lines):
    """True when the sink has taken something that it cannot store."""
    one = node(status(), "out")
    return one["lag_s"] > 0 and one["state"] != "idle" and one
