#!/usr/bin/python3
"""Kills a process at each named crash point of the sources, one at a time, and counts the target.

    tests/crash/points.py                              every point, every worker, every route
    tests/crash/points.py --point sink.before_commit --route file-postgres
    tests/crash/points.py --list

Needs the build that has the points (make V=crash crash-build); its program is build/crash/weir, or $WEIR. A point that no route reaches is a
failure: a rule that nobody can break proves nothing.
"""
import argparse
import json
import os
import re
import sys

from route import ROUTES, SINK, SOURCE, STAGE, Failure, Route, Servers, account_of
from support import instance

WORKERS = ["producer/" + SOURCE, "transformer/" + STAGE, "sinker/" + SINK, "supervisor"]
ROWS = 2000
# Where the address shows each record once, only deaths behind the journal's commit can be made good.
TRIM_POINTS = {"source.before_trim"}


def is_about_topics(path):
    return "kafka" in os.path.basename(path) or "topic" in os.path.basename(path)


def crash_points():
    """Every name in the sources, with the file it stands in; of several the first that is not about topics alone."""
    found = {}
    for folder in ("shm", "proto", "workers", "supervisor"):
        for at, _, files in os.walk(os.path.join(instance.ROOT, folder)):
            for name in sorted(files):
                if not name.endswith((".c", ".h")) or name.startswith("crash_point"):
                    continue
                with open(os.path.join(at, name)) as file:
                    for point in re.findall(r'CRASH_POINT\("([a-z_.]+)"\)', file.read()):
                        if point not in found or is_about_topics(found[point]):
                            found[point] = os.path.relpath(os.path.join(at, name), instance.ROOT)
    return {point: at for point, at in found.items() if not point.startswith(("retry.", "lookup.", "letters."))}  # each has a program of its own


def workers_for(point_file):
    """Which processes can pass a point, by the folder that it stands in."""
    if point_file.startswith("supervisor/"):
        return ["supervisor"]
    if point_file.startswith("workers/sources/"):
        return WORKERS[:1]
    if point_file.startswith("workers/sql/"):
        return WORKERS[1:2]
    if point_file.startswith("workers/sinks/"):
        return WORKERS[2:3]
    return WORKERS[:3]


def belongs(point, point_file, route_name, narrow):
    """Whether a point can be passed on a route and is worth it there."""
    if (point in TRIM_POINTS) != (route_name == "trim-sqlite"):
        return False
    of_topics = is_about_topics(point_file)
    return of_topics <= ("topic" in route_name) and (of_topics or not (narrow and "topic" in route_name))


def order_for(point, times, worker):
    return "%s:%d" % (point, times) if worker == "supervisor" else "%s:%d:%s" % (point, times, worker)


def died(worker, result):
    """Did the order hit? The supervisor's own death ends the program; a worker's is told in the log."""
    if worker == "supervisor":
        return result.code == -9
    return any("SIGKILL" in line and worker.split("/")[1] in line for line in result.err.splitlines())


def try_point(route, point, times, worker):
    """One run with one death. True when the point was passed that often."""
    route.seed += 1
    route.begin()
    route.feed(ROWS)
    if route.source_kind == "trim":
        route.finish(route.once())  # trimming is the work of a later poll
    result = route.once(env={"WEIR_CRASH": order_for(point, times, worker)})
    hit = died(worker, result)
    if worker == "supervisor" and hit:
        route.finish(route.once())
    else:
        route.check_account(account_of(route.finish(result)))
    route.audit()
    return hit


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--point", action="append", help="only this one (may be repeated)")
    parser.add_argument("--route", action="append", choices=ROUTES)
    parser.add_argument("--times", default="1,2,7", help="at which passing, a list (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--narrow", action="store_true", help="on routes with topics only the points that no other route has")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args(arguments)
    points = crash_points()
    if options.list:
        for point, at in sorted(points.items()):
            print("%-40s %s" % (point, at))
        return 0
    program = os.environ.get("WEIR") or os.path.join(instance.ROOT, "build", "crash", "weir")
    routes = options.route or ROUTES
    chosen = sorted(options.point or [point for point in points if any(belongs(point, points[point], name, options.narrow) for name in routes)])
    servers = Servers()
    hits = {point: 0 for point in chosen}
    failures = 0
    try:
        for name in routes:
            def fresh():
                return Route(name, options.seed, servers, rows=100, commit="5ms", program=program)
            route = fresh()
            for point in chosen:
                if not belongs(point, points[point], name, options.narrow):
                    continue
                for worker in workers_for(points[point]):
                    for times in map(int, options.times.split(",")):
                        try:
                            hit = try_point(route, point, times, worker)
                        except (Failure, TimeoutError) as failure:
                            failures += 1
                            print("FAILED %s %s: %s" % (name, order_for(point, times, worker), failure), flush=True)
                            route.close(keep=True)
                            route = fresh()
                            break
                        hits[point] += hit
                        if not hit:
                            break
            route.close()
    finally:
        servers.close()
    missed = [point for point, count in hits.items() if count == 0]
    print(json.dumps({"points": len(chosen), "deaths": sum(hits.values()), "failures": failures, "never_reached": missed}))
    return 1 if failures or missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
