#!/usr/bin/python3
"""A small stand-in for NASA's EONET v3: the same answers in shape, from events that this program makes up.

    eonet.py --port 0            prints the address of /events, then serves until it is killed
    eonet.py --fixed             serves the tricky cases of eonet_fixed.py instead of a moving world
    eonet.py --print             prints one answer and ends

GET /api/v3/events       status=open|closed|all, days, limit, category, source, as the API; ETag and If-None-Match; gzip when asked for
GET /api/v3/categories   every category with its description
GET /control             see simulator.py; faults are played on /events, and on /categories only when its own address asks for one

The clock of the world runs --speed times as fast as ours.
"""
import sys

import eonet_fixed
import eonet_shape
import eonet_world
import simulator

FAULTS = dict(simulator.FAULTS, no_events="a document without `events`")


class State(simulator.State):
    faults_known = FAULTS

    def __init__(self, options):
        self.world = eonet_world.World(options.seed, options.events, options.dirty)
        super().__init__(options, self.world.begin)

    def events(self):
        return eonet_fixed.fixed_events() if self.options.fixed else self.world.events(self.now())


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


class Handler(simulator.Handler):
    def page(self, path, query):
        if path in ("/api/v3/events", "/events"):
            self.answer(query, lambda: eonet_shape.document(choose(self.state.events(), query, self.state.now())).encode())
        elif path in ("/api/v3/categories", "/categories"):
            self.answer_categories(query)
        else:
            return False
        return True

    def answer_categories(self, query):
        """A page of its own: it is not counted among the polls, so that a test of those need not know of it."""
        if "fault" in query and query["fault"] in self.state.faults_known and query["fault"] not in simulator.GENTLE:
            getattr(self, "fault_" + query["fault"])([query["fault"], 1, 1])
        else:
            self.send(200, eonet_shape.categories_document(eonet_world.categories()).encode())

    def whole(self):
        return eonet_shape.document(choose(self.state.events(), {}, self.state.now())).encode()

    def empty_answer(self):
        return eonet_shape.document([]).encode()

    @staticmethod
    def huge_pieces():
        one = eonet_shape.event_text(eonet_fixed.event(1, "Endless", [eonet_fixed.at("2026-11-01T00:00:00Z", 1, 1)]))
        return simulator.endless(eonet_shape.document_head(), one, ",\n\n", eonet_shape.document_tail())

    def fault_no_events(self, fault):
        self.send(200, b'{\n\t"title": "EONET Events",\n\t"description": "Natural events from EONET.",\n\t"link": ""\n}')


def main(arguments):
    parser = simulator.option_parser(__doc__, 8640)
    parser.add_argument("--events", type=int, default=300, help="events that are open at the beginning (default %(default)s)")
    parser.add_argument("--dirty", type=int, default=4, help="of 1,000 events, how many carry a bad geometry (default %(default)s)")
    parser.add_argument("--speed", type=float, default=1440, help="seconds of the world in one of ours (default: a day a minute)")
    state = State(parser.parse_args(arguments))
    if state.options.only_print:
        sys.stdout.write(eonet_shape.document(state.events()))
        return 0
    return simulator.serve(Handler, state, "/api/v3/events")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
