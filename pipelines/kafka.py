#!/usr/bin/python3
"""A real Kafka broker for trying things out: `make kafka` calls `kafka.py start`, `make kafka-stop` calls `kafka.py stop`.

One node on 127.0.0.1:9092 (KAFKA_PORT names another port). It lives on after this command, keeps its topics in the cache folder when it is
stopped, and creates a topic that somebody writes to, as Kafka does by itself. Only loopback clients reach it. `kafka.py delete` stops it and
forgets its topics.
"""
import os
import shutil
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tests"))

from support import kafka_server  # noqa: E402

VERSION = os.environ.get("KAFKA_VERSION", "4.1")
FOLDER = os.path.join(kafka_server.cache_folder(), "kafka-try-" + VERSION)
PID_FILE = os.path.join(FOLDER, "pid")
USE = """\
Kafka %(version)s listens on %(servers)s (process %(pid)d, log %(log)s)
  KAFKA_BROKERS=%(servers)s ./weir run FILE
  kcat -b %(servers)s -L                                  which topics there are
  echo '{"id": 1}' | kcat -b %(servers)s -P -t numbers    write into one
  kcat -b %(servers)s -C -e -t numbers                    read it to its end
  make kafka-stop                                              end it; its topics stay in %(folder)s"""


def running():
    """(process id, port) of the broker that was started here, or None. A process id that now belongs to somebody else does not count."""
    try:
        with open(PID_FILE) as file:
            pid, port = map(int, file.read().split())
        with open("/proc/%d/cmdline" % pid, "rb") as file:
            command = file.read().split(b"\0")
        folder = os.readlink("/proc/%d/cwd" % pid)
    except (OSError, ValueError):
        return None
    return (pid, port) if b"kafka.Kafka" in command and folder == os.path.realpath(FOLDER) else None


def tell(pid, port):
    print(USE % {"version": VERSION, "servers": "127.0.0.1:%d" % port, "pid": pid, "log": os.path.join(FOLDER, "log"), "folder": FOLDER})


def start():
    there = running()
    if there:
        tell(*there)
        return 0
    port = int(os.environ.get("KAFKA_PORT", "9092"))
    if kafka_server.serves(port):
        print("127.0.0.1:%d: a broker that was not started here serves there; KAFKA_PORT names another port" % port, file=sys.stderr)
        return 1
    try:
        if not os.path.isdir(os.path.join(kafka_server.cache_folder(), "kafka-" + kafka_server.VERSIONS[VERSION][0])):
            print("Fetching Kafka %s into %s, once ..." % (VERSION, kafka_server.cache_folder()), flush=True)
        broker = kafka_server.Broker(VERSION, FOLDER, port=port, settings={"auto.create.topics.enable": "true"}, outlives=True, level="INFO")
        broker.start()
    except (kafka_server.KafkaUnavailable, RuntimeError, TimeoutError) as error:
        print(error, file=sys.stderr)
        return 1
    with open(PID_FILE, "w") as file:
        file.write("%d %d\n" % (broker.process.pid, port))
    tell(broker.process.pid, port)
    return 0


def stop():
    there = running()
    if not there:
        print("no broker of `make kafka` runs")
        return 0
    os.kill(there[0], signal.SIGTERM)
    end = time.monotonic() + 60
    while running() and time.monotonic() < end:
        time.sleep(0.1)
    if running():
        os.kill(there[0], signal.SIGKILL)
    os.unlink(PID_FILE)
    print("stopped")
    return 0


def delete():
    stop()
    shutil.rmtree(FOLDER, ignore_errors=True)
    return 0


if __name__ == "__main__":
    actions = {"start": start, "stop": stop, "delete": delete}
    if len(sys.argv) != 2 or sys.argv[1] not in actions:
        sys.exit("usage: kafka.py start|stop|delete")
    sys.exit(actions[sys.argv[1]]())
