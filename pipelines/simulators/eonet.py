#!/usr/bin/python3
"""A small stand-in for NASA's EONET v3: the same answers in shape, from events that this program makes up.

    eonet.py --port 0            prints the address of /events, then serves until it is killed
    eonet.py --fixed             serves the tricky cases of eonet_fixed.py instead of a moving world
    eonet.py --print             prints one answer and ends

GET /api/v3/events   status=open|closed|all, days, limit, category, source, as the API; ETag and If-None-Match; gzip when asked for
GET /control         counts as JSON; ?fault=NAME&count=N[&after=S] spoils the next N answers, ?advance=SECONDS turns the clock on,
                     ?requests=clear forgets the counts. A fault also works for one request: /events?fault=NAME

Faults: see FAULTS. Only the standard library is used; the clock of the world runs --speed times as fast as ours.
"""
import argparse
import gzip
import hashlib
import json
import socket
import sys
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import eonet_fixed
import eonet_shape
import eonet_world

MEBIBYTE = 1 << 20
HUGE = 80 * MEBIBYTE  # beyond the 64 MiB that a reader should accept

FAULTS = {
    "rate_limit": "429 with Retry-After",
    "server_error": "500",
    "unavailable": "503 with Retry-After as a date",
    "not_found": "404",
    "slow": "the body in small pieces with pauses",
    "silent": "nothing at all for a long time",
    "cut": "the connection closes in the middle of the promised body",
    "cut_chunked": "a chunked body without its end",
    "huge": "an endless list of events, streamed",
    "huge_gzip": "the same, small on the wire",
    "broken": "JSON that breaks off",
    "not_json": "200 with a page in HTML",
    "no_events": "a document without `events`",
    "empty": "an empty list of events",
    "gzip": "gzip, asked for or not",
    "no_etag": "a good answer without ETag",
}


class State:
    """What the server remembers: the clock, the faults to come, what was asked."""

    def __init__(self, options):
        self.options = options
        self.world = eonet_world.World(options.seed, options.events, options.dirty)
        self.started = time.monotonic()
        self.advanced = 0
        self.lock = threading.Lock()
        self.faults = []
        self.clear()

    def clear(self):
        self.counts = {"requests": 0, "answers": 0, "not_modified": 0, "faults": {}}
        self.log = []

    def now(self):
        return self.world.begin + self.advanced + (time.monotonic() - self.started) * self.options.speed

    def events(self):
        return eonet_fixed.fixed_events() if self.options.fixed else self.world.events(self.now())

    def next_fault(self):
        """The fault to play now, or None. Each entry is [name, how often, seconds for Retry-After]."""
        with self.lock:
            if not self.faults:
                return None
            fault = self.faults[0]
            fault[1] -= 1
            if fault[1] <= 0:
                self.faults.pop(0)
            return fault

    def count(self, name, fault=None):
        with self.lock:
            if fault:
                self.counts["faults"][fault] = self.counts["faults"].get(fault, 0) + 1
            else:
                self.counts[name] += 1


def last_seen(event):
    dates = [geometry["date"] for geometry in event["geometry"] if geometry.get("date")]
    return max(dates + ([event["closed"]] if event["closed"] else []), default="")


def choose(events, query, now):
    """The filters of the API. Raises ValueError for a value that the API would refuse."""
    status = query.get("status", "open")
    if status not in ("open", "closed", "all"):
        raise ValueError("status is open, closed or all")
    chosen = [event for event in events if status == "all" or (event["closed"] is not None) == (status == "closed")]
    if "days" in query:
        since = eonet_world.stamp(now - int(query["days"]) * eonet_world.DAY)
        chosen = [event for event in chosen if last_seen(event) >= since]
    for name, key in (("category", "categories"), ("source", "sources")):
        if name in query:
            wanted = set(query[name].split(","))
            chosen = [event for event in chosen if wanted & {item["id"] for item in event.get(key, [])}]
    return chosen[: int(query["limit"])] if "limit" in query else chosen


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # One write for head and body: two of them would wait for each other (Nagle and delayed acknowledgement), 40 ms an answer.
    wbufsize = 1 << 16
    state = None  # set by serve()

    def log_message(self, format, *arguments):
        if self.state.options.verbose:
            super().log_message(format, *arguments)

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        try:
            if url.path == "/control":
                self.control(query)
            elif url.path in ("/api/v3/events", "/events"):
                self.answer_events(query)
            elif url.path == "/api/v3/categories":
                self.send(200, json.dumps({"categories": [{"id": kind[0], "title": kind[1]} for kind in eonet_world.KINDS]}).encode())
            else:
                self.send(404, b'{"error": "no such page"}')
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    do_HEAD = do_GET

    def control(self, query):
        state = self.state
        if "fault" in query:
            if query["fault"] not in FAULTS:
                self.send(400, json.dumps({"error": "no such fault", "faults": FAULTS}).encode())
                return
            with state.lock:
                state.faults.append([query["fault"], int(query.get("count", "1")), int(query.get("after", "1"))])
        if "advance" in query:
            with state.lock:
                state.advanced += int(query["advance"])
        with state.lock:
            answer = dict(state.counts, pending=state.faults, now=eonet_world.stamp(state.now()), log=state.log[-100:])
            if query.get("requests") == "clear":
                state.clear()
        self.send(200, json.dumps(answer, indent=1).encode())

    def answer_events(self, query):
        state = self.state
        state.count("requests")
        with state.lock:
            state.log.append({"path": self.path, "if_none_match": self.headers.get("If-None-Match"),
                              "accept_encoding": self.headers.get("Accept-Encoding"), "at": time.time()})
        fault = [query["fault"], 1, int(query.get("after", "1"))] if "fault" in query else state.next_fault()
        if fault:
            state.count("faults", fault[0])
        if fault and fault[0] not in ("gzip", "no_etag", "slow"):
            getattr(self, "fault_" + fault[0])(fault)
            return
        try:
            body = eonet_shape.document(choose(state.events(), query, state.now())).encode()
        except ValueError as error:
            self.send(400, json.dumps({"error": str(error)}).encode())
            return
        tag = '"%s"' % hashlib.sha256(body).hexdigest()[:24]
        if self.headers.get("If-None-Match") == tag:
            state.count("not_modified")
            self.send(304, b"", [("ETag", tag)])
            return
        state.count("answers")
        headers = [] if fault and fault[0] == "no_etag" else [("ETag", tag)]
        if (fault and fault[0] == "gzip") or "gzip" in (self.headers.get("Accept-Encoding") or ""):
            body = gzip.compress(body, 1)
            headers.append(("Content-Encoding", "gzip"))
        self.send(200, body, headers, pause=0.05 if fault and fault[0] == "slow" else 0)

    def send(self, code, body, headers=(), pause=0.0):
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        for name, value in headers:
            self.send_header(name, value)
        if code != 304:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if pause == 0:
            self.wfile.write(body)
            return
        piece = max(1, len(body) // 40)
        for start in range(0, len(body), piece):
            self.wfile.write(body[start : start + piece])
            self.wfile.flush()
            time.sleep(pause)

    def whole(self):
        return eonet_shape.document(choose(self.state.events(), {}, self.state.now())).encode()

    def fault_rate_limit(self, fault):
        self.send(429, b'{"error": "too many requests"}', [("Retry-After", str(fault[2]))])

    def fault_server_error(self, fault):
        self.send(500, b"<html>Internal Server Error</html>")

    def fault_unavailable(self, fault):
        date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + fault[2]))
        self.send(503, b"", [("Retry-After", date)])

    def fault_not_found(self, fault):
        self.send(404, b'{"error": "no such page"}')

    def fault_silent(self, fault):
        self.close_connection = True
        time.sleep(fault[2] if fault[2] > 1 else 30)

    def fault_cut(self, fault):
        body = self.whole()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2])
        self.hang_up()

    def fault_cut_chunked(self, fault):
        self.start_chunks()
        body = self.whole()
        self.chunk(body[: len(body) // 2])
        self.hang_up()

    def hang_up(self):
        self.close_connection = True
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)

    def start_chunks(self, headers=()):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()

    def chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    @staticmethod
    def huge_pieces():
        """A document of valid events that never ends in time, in pieces of about a mebibyte."""
        yield eonet_shape.document_head().encode()
        one = eonet_shape.event_text(eonet_fixed.event(1, "Endless", [eonet_fixed.at("2026-11-01T00:00:00Z", 1, 1)])) + ",\n\n"
        piece = (one * (MEBIBYTE // len(one))).encode()
        for _ in range(HUGE // len(piece)):
            yield piece
        yield (one.rstrip(",\n") + eonet_shape.document_tail()).encode()

    def fault_huge(self, fault):
        self.start_chunks()
        for piece in self.huge_pieces():
            self.chunk(piece)
        self.chunk(b"")

    def fault_huge_gzip(self, fault):
        self.send(200, gzip.compress(b"".join(self.huge_pieces()), 1), [("Content-Encoding", "gzip")])

    def fault_broken(self, fault):
        body = self.whole()
        self.send(200, body[: len(body) * 2 // 3])

    def fault_not_json(self, fault):
        self.send(200, b"<!DOCTYPE html><title>Maintenance</title><p>Back soon.")

    def fault_no_events(self, fault):
        self.send(200, b'{\n\t"title": "EONET Events",\n\t"description": "Natural events from EONET.",\n\t"link": ""\n}')

    def fault_empty(self, fault):
        self.send(200, eonet_shape.document([]).encode())


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, client_address):
        """A reader that hangs up early is a test at work, not an error."""
        if not isinstance(sys.exc_info()[1], (BrokenPipeError, ConnectionResetError, OSError)):
            super().handle_error(request, client_address)


def parse_options(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8640, help="0: any free one (default %(default)s)")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--events", type=int, default=300, help="events that are open at the beginning (default %(default)s)")
    parser.add_argument("--dirty", type=int, default=4, help="of 1,000 events, how many carry a bad geometry (default %(default)s)")
    parser.add_argument("--speed", type=float, default=1440, help="seconds of the world in one of ours (default: a day a minute)")
    parser.add_argument("--fixed", action="store_true", help="the tricky cases instead of a world")
    parser.add_argument("--print", action="store_true", dest="only_print", help="print all events once and end")
    parser.add_argument("--verbose", action="store_true", help="log each request")
    return parser.parse_args(arguments)


def main(arguments):
    options = parse_options(arguments)
    state = State(options)
    if options.only_print:
        sys.stdout.write(eonet_shape.document(state.events()))
        return 0
    Handler.state = state
    try:
        server = Server((options.host, options.port), Handler)
    except OSError as error:
        sys.exit("eonet.py: cannot listen on %s:%d: %s" % (options.host, options.port, error.strerror))
    print("http://%s:%d/api/v3/events" % (options.host, server.server_address[1]), flush=True)
    try:
        server.serve_forever(poll_interval=0.2)
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
