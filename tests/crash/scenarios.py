"""What a file of scenarios needs: to register them, to run the chosen ones each on a fresh route, and the checks that several of them make.

    SCENARIOS = Scenarios()

    @SCENARIOS.on("file-postgres")
    def name_of_it(route, dice, times): ...     # the first line of its documentation is what --list shows
"""
import argparse
import random
import time

import psycopg2

from route import Failure, Route, Servers


class Scenarios:
    def __init__(self):
        self.known, self.long = {}, set()

    def on(self, *routes, minutes=False):
        """Registers a function for these routes. One that takes minutes is run only when it, or --minutes, is asked for."""
        def register(function):
            self.known[function.__name__] = (function, routes)
            if minutes:
                self.long.add(function.__name__)
            return function
        return register

    def chosen(self, options):
        names = options.only or [name for name in self.known if options.minutes or name not in self.long]
        return [(name, route) for name in names for route in self.known[name][1]
                if route in (options.route or [route]) and not (options.no_topics and "topic" in route)]

    def list(self):
        for name, (function, routes) in self.known.items():
            print("%-30s %-50s %s" % (name, " ".join(routes), function.__doc__.splitlines()[0]))

    def try_one(self, name, route, options):
        """True when all was right; a route that failed keeps its folder."""
        started = time.monotonic()
        route.servers.heal()
        try:
            self.known[name][0](route, random.Random(options.seed), options.times)
        except (Failure, TimeoutError, psycopg2.Error) as failure:
            print("FAILED %s %s: %s" % (name, route.name, failure), flush=True)
            route.close(keep=True)
            return False
        print("ok     %s %s (%.1f s)" % (name, route.name, time.monotonic() - started), flush=True)
        route.close()
        return True

    def main(self, description, arguments, settings=None):
        """Runs what was asked for; the last line counts. `settings` are the broker's, where a scenario needs one."""
        parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
        parser.add_argument("--only", action="append", choices=sorted(self.known))
        parser.add_argument("--route", action="append")
        parser.add_argument("--times", type=int, default=10, help="how often a server dies, a connection is hurt, ...")
        parser.add_argument("--seed", type=int, default=1)
        parser.add_argument("--no-topics", action="store_true", help="no routes with topics")
        parser.add_argument("--minutes", action="store_true", help="also those that take minutes")
        parser.add_argument("--kafka", choices=["4.1", "3.9"], default="4.1", help="version of the broker")
        parser.add_argument("--list", action="store_true")
        options = parser.parse_args(arguments)
        if options.list:
            self.list()
            return 0
        passed = failed = 0
        used = Servers(options.kafka, settings)
        try:
            for name, route_name in self.chosen(options):
                if self.try_one(name, Route(route_name, options.seed, used), options):
                    passed += 1
                else:
                    failed += 1
        finally:
            used.close()
        print("%d passed, %d failed, 0 skipped" % (passed, failed))
        return 1 if failed else 0


def contents(target):
    return target.query("SELECT part, n, item, id FROM rows_out ORDER BY 1, 2, 3") if "rows_out" in target.tables() else []


def expect_choices(route, before):
    """A start that must refuse: exit 1, the choices by name, nothing changed. It need not wait until the owner has been silent for long."""
    result = route.once(None, "--take-over")
    if result.code != 1 or "weir positions" not in result.err:
        raise Failure("weir should have refused and named `weir positions`: %r" % result)
    if contents(route.target) != before:
        raise Failure("a refused start changed the target")


def once_and_audit(route):
    route.finish(route.once())
    return route.audit()
