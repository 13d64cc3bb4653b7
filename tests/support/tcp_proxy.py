"""A TCP proxy on the loopback that hurts connections on request: cuts, delays, half-closes, stalls them; also at a named moment of Kafka's protocol.

    proxy = Proxy("127.0.0.1", broker_port)          # listens on proxy.port
    proxy.cut_all()                                   # every connection is reset now
    proxy.on(END_TXN, "request", "cut")               # the broker never sees the next EndTxn
    proxy.on(END_TXN, "answer", "cut")                # it does what is asked, and nobody hears of it
    proxy.on(PRODUCE, "request", "delay", seconds=5)  # on time for nobody: it arrives even when its sender has long given up

Messages of Kafka are told apart by their length and header (api key, correlation id); with kafka=False bytes pass as they come and only
cut_all, stall_all and refuse make sense. Brokers tell clients where to connect: the broker must advertise a listener at the proxy's port.
Rules act once each (or `times`), on whichever connection meets them first, when `skip` messages of their kind have passed; `acted` says which
have.
"""
import queue
import socket
import struct
import threading
import time
from collections import Counter, namedtuple

PRODUCE, FETCH, METADATA, FIND_COORDINATOR, INIT_PRODUCER_ID, ADD_PARTITIONS, END_TXN, OFFSET_COMMIT, HEARTBEAT = 0, 1, 3, 10, 22, 24, 26, 8, 12
LONGEST = 64 << 20  # of one message
Rule = namedtuple("Rule", "api side act seconds")
# cut: reset, the message is not passed. pass_and_cut: it is passed whole, then reset. half: half of it is passed, then reset. half_close: it is
# not passed; the side that it was meant for sees the end of the stream, the other direction stays open. delay: it is passed later, whatever
# happens to its sender. orphan: its sender's connection is reset at once, and the message is passed later. stall: from it on nothing is passed in
# either direction, and nothing is closed, for so long.
ACTS = ("cut", "pass_and_cut", "half", "half_close", "delay", "orphan", "stall")


def reset(one):
    """Closes with RST: the peer gets an error, not the end of a stream."""
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        one.shutdown(socket.SHUT_RD)  # wakes the thread that reads it
    except OSError:
        pass
    one.close()


class Connection:
    """One client's connection and ours to the server, with a thread for each direction."""

    def __init__(self, proxy, client):
        self.proxy, self.client = proxy, client
        self.server = socket.create_connection(proxy.to, timeout=10)
        for one in (self.client, self.server):
            one.settimeout(None)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.asked = {}  # correlation id -> api key of requests without an answer yet
        self.stalled_until = 0.0
        self.gone = False
        for side, here, there in (("request", self.client, self.server), ("answer", self.server, self.client)):
            threading.Thread(target=self.pump, args=(side, here, there), daemon=True).start()

    def cut(self):
        self.gone = True
        reset(self.client)
        reset(self.server)

    def pump(self, side, here, there):
        try:
            for message in self.messages(here):
                self.wait_while_stalled()
                if self.gone or not self.hand_on(side, message, there):
                    return
        except (OSError, ValueError):
            self.cut()
            return
        try:
            there.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def messages(self, here):
        if not self.proxy.kafka:
            while True:
                data = here.recv(65536)
                if not data:
                    return
                yield data
        while True:
            head = self.receive(here, 4)
            if head is None:
                return
            length = struct.unpack(">i", head)[0]
            if not 0 <= length <= LONGEST:
                raise ValueError("no message of Kafka")
            body = self.receive(here, length)
            if body is None:
                return
            yield head + body

    @staticmethod
    def receive(here, length):
        """So many bytes, or None where the stream ends before."""
        parts = []
        while length > 0:
            data = here.recv(min(length, 1 << 20))
            if not data:
                return None
            parts.append(data)
            length -= len(data)
        return b"".join(parts)

    def wait_while_stalled(self):
        while not self.gone and (time.monotonic() < self.stalled_until or self.proxy.stalled):
            time.sleep(0.01)

    def api_of(self, side, message):
        if not self.proxy.kafka:
            return None
        if side == "request":
            api, _, correlation = struct.unpack(">hhi", message[4:12])
            self.asked[correlation] = api
            return api
        return self.asked.pop(struct.unpack(">i", message[4:8])[0], None)

    def as_from_behind(self, side, api, message):
        """Asks for a topic that is not there instead, and gives the answer the name that was asked for."""
        name = self.proxy.behind and self.proxy.behind.encode()
        if not name or api != METADATA:
            return message
        absent = name[:-1] + b"-"
        if side == "answer":
            return message.replace(absent, name)
        return message.replace(name, absent) if name in message and self.proxy.asks_behind() else message

    def hand_on(self, side, message, there):
        """Passes one message, or does to it what a rule says. False: this direction is over."""
        api = self.api_of(side, message)
        message = self.as_from_behind(side, api, message)
        rule = self.proxy.rule_for(api, side)
        act = rule.act if rule else "pass"
        if act == "orphan":
            reset(self.client)
        if act in ("delay", "orphan"):
            time.sleep(rule.seconds)
        elif act == "stall":
            self.stalled_until = time.monotonic() + rule.seconds
            self.wait_while_stalled()
            if self.gone:
                return False
        elif act == "half":
            there.sendall(message[: len(message) // 2])
        elif act == "half_close":
            there.shutdown(socket.SHUT_WR)
            return False
        if act in ("pass", "delay", "orphan", "stall", "pass_and_cut"):
            there.sendall(message)
        if act == "orphan":
            there.shutdown(socket.SHUT_WR)  # what the server says to it, nobody hears
            return False
        if act in ("cut", "half", "pass_and_cut"):
            self.cut()
            return False
        return True


class Proxy:
    def __init__(self, host=None, port=None, kafka=True, listen="127.0.0.1"):
        """Without a server yet (a broker must know our port before it starts): give it with `to` before anybody connects."""
        self.to, self.kafka = (host, port), kafka
        self.stalled = self.refuses = False
        self.behind, self.behind_asked = None, 0
        self.rules, self.acted, self.passed = [], queue.Queue(), Counter()
        self.lock = threading.Lock()
        self.connections = []
        self.listener = socket.create_server((listen, 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    @property
    def address(self):
        return "127.0.0.1:%d" % self.port

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            if self.refuses:
                reset(client)
                continue
            try:
                made = Connection(self, client)
            except OSError:
                reset(client)  # the server is not there
                continue
            with self.lock:
                self.connections = [one for one in self.connections if not one.gone] + [made]

    def rule_for(self, api, side):
        with self.lock:
            self.passed[api, side] += 1
            for entry in self.rules:
                rule, skip = entry
                if rule.side != side or rule.api not in (api, None):
                    continue
                if skip > 0:
                    entry[1] -= 1
                    continue
                self.rules.remove(entry)
                self.acted.put(rule)
                return rule
        return None

    def fall_behind(self, topic, times=4):
        """As if there were two brokers, asked in turns, one of which has not learned of this topic yet, and will have after so many questions."""
        self.behind, self.behind_asked = topic, 2 * times

    def asks_behind(self):
        with self.lock:
            self.behind_asked -= self.behind_asked > 0
            return self.behind_asked % 2 == 1

    def on(self, api, side, act, seconds=0.0, times=1, skip=0):
        """The next `times` messages of that kind (api None: of any) on that side get it, behind `skip` that pass."""
        if act not in ACTS or side not in ("request", "answer"):
            raise ValueError("no such act: %s of %s" % (act, side))
        with self.lock:
            self.rules += [[Rule(api, side, act, seconds), skip] for _ in range(times)]

    def wait_until_acted(self, seconds):
        """The next rule that was met, or None."""
        try:
            return self.acted.get(timeout=seconds)
        except queue.Empty:
            return None

    def forget(self):
        """No further rules, and nothing that has acted."""
        with self.lock:
            self.rules = []
            while not self.acted.empty():
                self.acted.get()

    def cut_all(self):
        with self.lock:
            there, self.connections = self.connections, []
        for one in there:
            one.cut()
        return len(there)

    def stall_all(self, stalled=True):
        self.stalled = stalled

    def refuse(self, refuses=True):
        """New connections are reset; those that are open stay."""
        self.refuses = refuses

    def close(self):
        self.listener.close()
        self.cut_all()
