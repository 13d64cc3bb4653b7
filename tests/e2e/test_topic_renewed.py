"""A topic that is deleted and made anew under a running reader, with more records than were read: nothing that the brokers answer to a fetch
tells of it, and what lies in front of the position would be lost in silence. weir asks, and stops."""
import contextlib
import json
import signal

import pytest

from support import kafka
from support.targets import count
from support.waiting import eventually

PIPE = """
pipeline: %s
kafka: {brokers: "%s"}
topics:
  input: {topic: "%s", assign: %s}
sinks:
  out: {from: input, type: table, url: "%s", table: out, columns: {n: bigint}}
"""


def records(*numbers):
    return [json.dumps({"n": n}) for n in numbers]


def begin(start, pipeline, one, target, topic, assign="static"):
    """An instance that has read and stored the first records, and knows where they lie."""
    name = topic.lstrip("^")
    one.create_topic(name)
    running = start(pipeline(PIPE % (name, one.servers, topic, assign, target.url)))

    def told(offset):
        assert running.alive, running.result()
        return one.committed("weir-%s-input" % name, name).get(0, 0) >= offset
    # In the turn in which it tells the group how far it is, it asks what it must find again; at the next one it knows.
    for numbers in (range(100), [100]):
        one.produce(name, records(*numbers))
        eventually("the group knows of them", lambda: told(numbers[-1] + 1))
    assert count(target, "out") == 101
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
        eventually("all rows, over a look", lambda: count(sqlite_target, "out") == 111 + 10 * turn, pause=4)
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
