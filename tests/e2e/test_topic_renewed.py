"""A topic that is deleted and made anew under a running reader, with more records than were read: nothing that the brokers answer to a fetch
tells of it, and what lies in front of the position would be lost in silence. weir asks, and stops."""
import contextlib
import json
import signal
import time

import pytest

from support import kafka
from support.targets import count
from support.waiting import eventually

PIPE = """
pipeline: renewed
kafka: {brokers: "%s"}
topics:
  input: {topic: "%s", assign: %s}
sinks:
  out: {from: input, type: table, url: "%s", table: out, columns: {n: bigint}}
"""


def records(*numbers):
    return [json.dumps({"n": n}) for n in numbers]


def begin(start, pipeline, one, target, topic, assign="static"):
    """An instance that has read and stored the first hundred, and knows where they lie."""
    one.produce(one.create_topic(topic.lstrip("^")), records(*range(100)))
    running = start(pipeline(PIPE % (one.servers, topic, assign, target.url)))
    eventually("100 rows", lambda: running.alive and "out" in target.tables() and count(target, "out") == 100)
    # What the brokers say of it is asked for once a second until it is known.
    time.sleep(6)
    return running


def anew(one, topic, numbers):
    one.delete_topic(topic)
    one.create_topic(topic)
    one.produce(topic, records(*numbers))


def told(running, *words):
    ended = running.wait()
    assert ended.code == 1 and all(word in ended.err for word in words), ended


@pytest.mark.parametrize("assign, pattern", [("static", ""), ("static", "^"), ("group", "")])
def test_a_topic_made_anew_under_a_frozen_reader_is_told(start, pipeline, kafka, sqlite_target, assign, pattern):
    topic = "renewed-%s%d" % (assign, len(pattern))
    running = begin(start, pipeline, kafka, sqlite_target, pattern + topic, assign)
    running.freeze()
    anew(kafka, topic, range(1000, 1300))
    running.freeze(signal.SIGCONT)
    told(running, "made anew", "weir positions set")


def test_a_topic_that_is_only_written_goes_on(start, pipeline, kafka, sqlite_target):
    """Times that go back, aborted transactions and records taken from the front are no new topic."""
    topic = "same-topic"
    running = begin(start, pipeline, kafka, sqlite_target, topic)
    for turn in range(3):
        kafka.produce(topic, [{"value": value, "timestamp": 1600000000000 - turn} for value in records(*range(5))])
        kafka.transaction(topic, records(*range(5)), how="abort")
        kafka.produce(topic, records(*range(5)))
        eventually("all rows, over a look", lambda: count(sqlite_target, "out") == 110 + 10 * turn, pause=4)
    stopped = running.stop()
    assert stopped.code == 0, stopped


def test_another_cluster_in_the_same_place_is_told(start, pipeline, sqlite_target):
    with contextlib.ExitStack() as stack:
        one = kafka.Kafka("4.1")
        stack.callback(one.close)
        running = begin(start, pipeline, one, sqlite_target, "replaced")
        one.kill()
        other = kafka.Kafka("4.1", port=one.port)
        stack.callback(other.close)
        other.create_topic("replaced")
        other.produce("replaced", records(*range(1000, 1300)))
        # While it is read, by the cluster's id; where the topic was gone for a moment and is looked for as at a start, by what is stored with
        # the position.
        ended = running.wait()
        assert ended.code == 1 and ("another cluster" in ended.err or "positions set" in ended.err), ended
