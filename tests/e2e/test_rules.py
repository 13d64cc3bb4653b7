"""Rules of the whole instance that only a look at its processes can tell broken; tests/mutants breaks each of them."""
import os
import signal

from support import instance
from support.waiting import eventually

PIPELINE = """\
pipeline: lines
sources:
  lines: {type: file, path: "in/*.ndjson", follow: true}
sinks:
  out: {from: lines, type: table, url: "%s", table: numbers, mode: append}
"""


def test_workers_die_with_the_supervisor(start, pipeline, sqlite_target, tmp_path):
    """SIGKILL to the supervisor alone, while its workers have nothing to do by which they could notice."""
    (tmp_path / "in").mkdir()
    running = start(pipeline(PIPELINE % sqlite_target.url))
    try:
        workers = [running.worker("producer"), running.worker("sinker")]
        os.kill(running.pid, signal.SIGKILL)
        running.wait()
        eventually("the workers are gone", lambda: [instance.worker_of(one.pid) for one in workers] == [None, None])
    finally:
        try:
            os.killpg(running.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # as it should be
