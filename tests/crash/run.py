#!/usr/bin/python3
"""Kills workers, or the whole instance, at random moments while numbered inputs flow; then counts the target.

    tests/crash/run.py --route file-postgres --role sinker --kills 1000 --rows 500000 --seed 1
    tests/crash/run.py --route file-sqlite --role tree --kills 50

--rows inputs flow in each run (`--once` over complete files, or for HTTP the answers of one address); runs are repeated, each with a new
target, until --kills kills have hit. --paced keeps one instance alive instead, and feeds it the inputs in as many portions as there are kills.
Prints one JSON line a run and exits 1 when something was lost, doubled or miscounted.
"""
import argparse
import json
import os
import random
import signal
import sys
import time

from route import ROUTES, WINDOW, Failure, Route, Servers, account_of
from support.waiting import NEVER, eventually

ROLES = ["producer", "transformer", "sinker"]


def kill_one(running, role, dice):
    """SIGKILL to a living worker of the role; False when none lives at this moment."""
    workers = running.workers(role)
    if not workers:
        return False
    try:
        os.kill(dice.choice(workers).pid, signal.SIGKILL)
        return True
    except ProcessLookupError:
        return False


def pause(dice, longest):
    """Short pauses hit the start of a worker, long ones the middle of its work."""
    time.sleep(dice.choice([0, 0.2, 1]) * dice.random() * longest)


def run_workers_once(route, options, dice, kills):
    """One run over complete inputs with kills of one role; returns how many hit."""
    route.begin()
    route.feed(options.rows)
    hits, running = 0, route.run(once=True)
    try:
        while running.alive and hits < kills:
            pause(dice, options.longest)
            hits += kill_one(running, options.role, dice)
        ended = route.finish(running.wait(5 * NEVER))
        route.check_account(account_of(ended))
    finally:
        running.close()
    return hits


def run_workers_paced(route, options, dice, kills):
    """One long life of the instance: a portion of the inputs, a kill, the next portion."""
    route.begin()
    route.follow = True
    portion = max(1, options.rows // (kills + 1))
    if route.over_http:
        portion = min(portion, WINDOW // 2)
    hits, fed, running = 0, 0, route.run()
    try:
        while hits < kills:
            if fed <= hits:
                route.wait_for_window(running)
                route.feed(portion)
                fed += 1
            pause(dice, options.longest)
            hits += kill_one(running, options.role, dice)
            if not running.alive:
                raise Failure("weir ended: %r" % running.result())
        route.wait_for_all(running)
        if not route.over_http:
            eventually("the account agrees at rest", lambda: at_rest(route))
            route.check_account(route.ask("status", "pipeline.yaml", "--json").json)
        route.finish(running.stop())
    finally:
        running.close()
    return hits


def at_rest(route):
    asked = route.ask("status", "pipeline.yaml", "--json")
    return asked.code == 0 and all(node["state"] == "idle" and not node["lag_s"] for node in asked.json["nodes"])


def run_tree(route, options, dice, kills):
    """The whole instance dies and is started again on the same state, until the inputs are through."""
    route.begin()
    route.feed(options.rows)
    hits = 0
    while True:
        running = route.run(once=True)
        try:
            if hits < kills:
                time.sleep(dice.random() * options.longest * 5)
            else:
                running.wait(5 * NEVER)
            if running.alive:
                hits += 1
                running.kill_tree()
                continue
            route.finish(running.result())
            return hits
        finally:
            running.close()


def one_run(route, options, dice, kills):
    if options.role == "tree":
        return run_tree(route, options, dice, kills)
    return (run_workers_paced if options.paced else run_workers_once)(route, options, dice, kills)


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--route", choices=ROUTES, default="file-sqlite")
    parser.add_argument("--role", choices=ROLES + ["tree"], default="sinker")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--rows", type=int, default=50000, help="inputs of one run")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lanes", type=int, default=1)
    parser.add_argument("--kafka", choices=["4.1", "3.9"], default="4.1", help="version of the broker, for routes with topics")
    parser.add_argument("--assign", choices=["static", "group"], default="static", help="who reads which partition of a topic")
    parser.add_argument("--paced", action="store_true")
    parser.add_argument("--longest", type=float, default=0.06, help="longest pause between two kills, seconds")
    parser.add_argument("--runs", type=int, default=1000, help="most runs, whatever was hit")
    options = parser.parse_args(arguments)
    dice = random.Random(options.seed)
    servers = Servers(options.kafka)
    route = Route(options.route, options.seed, servers, options.lanes)
    route.assign = options.assign
    hits = number = 0
    kept = False
    try:
        while hits < options.kills and number < options.runs:
            number += 1
            started = time.monotonic()
            route.seed = options.seed + number
            new = one_run(route, options, dice, options.kills - hits)
            hits += new
            report = dict(route.audit(), route=options.route, role=options.role, seed=route.seed, kills=new, kills_so_far=hits,
                          inputs=options.rows, seconds=round(time.monotonic() - started, 2))
            print(json.dumps(report), flush=True)
        if hits < options.kills:
            print("only %d of %d kills hit in %d runs" % (hits, options.kills, number))
            return 1
        return 0
    except (Failure, TimeoutError) as failure:
        kept = True
        print("FAILED %s %s seed %d: %s" % (options.route, options.role, route.seed, failure), flush=True)
        return 1
    finally:
        route.close(keep=kept)
        servers.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
