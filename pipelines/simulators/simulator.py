"""What the simulators share: a small web server that answers in an API's shape, and spoils answers on request.

A simulator gives a State (its clock, what it answers) and a Handler (its pages), and calls serve(). This module brings: ETag and
If-None-Match, gzip, the control page, the faults that any API can have. Only the standard library is used.

GET /control   counts as JSON; ?fault=NAME&count=N[&after=S] spoils the next N answers, ?advance=SECONDS turns the clock on,
               ?requests=clear forgets the counts. A fault also works for one request: PAGE?fault=NAME
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

MEBIBYTE = 1 << 20
HUGE = 80 * MEBIBYTE  # beyond the 64 MiB that a reader should accept
GENTLE = ("gzip", "no_etag", "slow")  # the answer is whole

FAULTS = {
    "rate_limit": "429 with Retry-After",
    "server_error": "500",
    "unavailable": "503 with Retry-After as a date",
    "not_found": "404",
    "slow": "the body in small pieces with pauses",
    "silent": "nothing at all for a long time",
    "cut": "the connection closes in the middle of the promised body",
    "cut_chunked": "a chunked body without its end",
    "huge": "an endless list of records, streamed",
    "huge_gzip": "the same, small on the wire",
    "broken": "JSON that breaks off",
    "not_json": "200 with a page in HTML",
    "empty": "an empty list of records",
    "gzip": "gzip, asked for or not",
    "no_etag": "a good answer without ETag",
}


def stamp(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


class State:
    """What a server remembers: the clock, the faults to come, what was asked."""

    faults_known = FAULTS

    def __init__(self, options, begin):
        self.options, self.begin = options, begin
        self.started = time.monotonic()
        self.advanced = 0
        self.lock = threading.Lock()
        self.faults = []
        self.clear()

    def clear(self):
        self.counts = {"requests": 0, "answers": 0, "not_modified": 0, "faults": {}}
        self.log = []

    def now(self):
        return self.begin + self.advanced + (time.monotonic() - self.started) * self.options.speed

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


class Handler(BaseHTTPRequestHandler):
    """Subclasses give page(path, query), whole(), empty_answer() and huge_pieces(), and a method fault_NAME for each fault of their own."""

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
            elif not self.page(url.path, query):
                self.send(404, b'{"error": "no such page"}')
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    do_HEAD = do_GET

    def control(self, query):
        state = self.state
        if "fault" in query:
            if query["fault"] not in state.faults_known:
                self.send(400, json.dumps({"error": "no such fault", "faults": state.faults_known}).encode())
                return
            with state.lock:
                state.faults.append([query["fault"], int(query.get("count", "1")), int(query.get("after", "1"))])
        if "advance" in query:
            with state.lock:
                state.advanced += int(query["advance"])
        with state.lock:
            answer = dict(state.counts, pending=state.faults, now=stamp(state.now()), log=state.log[-100:])
            if query.get("requests") == "clear":
                state.clear()
        self.send(200, json.dumps(answer, indent=1).encode())

    def answer(self, query, make_body):
        """Counts the request, plays the fault that is due, and otherwise sends what make_body() gives; its ValueError is a 400."""
        state = self.state
        state.count("requests")
        with state.lock:
            state.log.append({"path": self.path, "if_none_match": self.headers.get("If-None-Match"),
                              "accept_encoding": self.headers.get("Accept-Encoding"), "at": time.time()})
        fault = [query["fault"], 1, int(query.get("after", "1"))] if "fault" in query else state.next_fault()
        if fault:
            state.count("faults", fault[0])
        if fault and fault[0] not in GENTLE:
            getattr(self, "fault_" + fault[0])(fault)
            return
        try:
            body = make_body()
        except ValueError as error:
            self.send(400, json.dumps({"error": str(error)}).encode())
            return
        self.send_good(body, fault[0] if fault else None)

    def send_good(self, body, fault):
        tag = '"%s"' % hashlib.sha256(body).hexdigest()[:24]
        if self.headers.get("If-None-Match") == tag:
            self.state.count("not_modified")
            self.send(304, b"", [("ETag", tag)])
            return
        self.state.count("answers")
        headers = [] if fault == "no_etag" else [("ETag", tag)]
        if fault == "gzip" or "gzip" in (self.headers.get("Accept-Encoding") or ""):
            body = gzip.compress(body, 1)
            headers.append(("Content-Encoding", "gzip"))
        self.send(200, body, headers, pause=0.05 if fault == "slow" else 0)

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

    def fault_empty(self, fault):
        self.send(200, self.empty_answer())


def endless(head, one, separator, tail):
    """A document of valid records that never ends in time, in pieces of about a mebibyte."""
    yield head.encode()
    piece = ((one + separator) * (MEBIBYTE // len(one + separator))).encode()
    for _ in range(HUGE // len(piece)):
        yield piece
    yield (one + tail).encode()


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, client_address):
        """A reader that hangs up early is a test at work, not an error."""
        if not isinstance(sys.exc_info()[1], (BrokenPipeError, ConnectionResetError, OSError)):
            super().handle_error(request, client_address)


def option_parser(description, port):
    """The options that every simulator has."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=port, help="0: any free one (default %(default)s)")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fixed", action="store_true", help="the tricky cases and nothing else")
    parser.add_argument("--print", action="store_true", dest="only_print", help="print one answer and end")
    parser.add_argument("--verbose", action="store_true", help="log each request")
    return parser


def serve(handler, state, page):
    """Prints the address of `page`, then answers until it is killed. Returns the exit code."""
    handler.state = state
    name = sys.argv[0].rsplit("/", 1)[-1]
    try:
        server = Server((state.options.host, state.options.port), handler)
    except OSError as error:
        sys.exit("%s: cannot listen on %s:%d: %s" % (name, state.options.host, state.options.port, error.strerror))
    print("http://%s:%d%s" % (state.options.host, server.server_address[1], page), flush=True)
    try:
        server.serve_forever(poll_interval=0.2)
    except KeyboardInterrupt:
        pass
    return 0
