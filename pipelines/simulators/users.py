#!/usr/bin/python3
"""A small stand-in for randomuser.me: the same answers in shape, from users that this program makes up.

    users.py --port 0            prints the address of /api/1.4/, then serves until it is killed
    users.py --fixed             serves the tricky cases of users_fixed.py instead
    users.py --print             prints one answer and ends

GET /api/, /api/1.2/ to /api/1.4/   results=1..5000, seed, page, gender, nat, inc, exc, noinfo, format=json|pretty, as the API; without `seed`
                                    each answer brings other users
GET /control                        see simulator.py
"""
import json
import sys

import simulator
import users_fixed
import users_world

FAULTS = dict(simulator.FAULTS, error="200 with the API's own {\"error\": ...}", no_results="a document without `results`")
SORRY = {"error": "Uh oh, something has gone wrong. Please tweet us @randomapi about the issue. Thank you."}


class State(simulator.State):
    faults_known = FAULTS

    def __init__(self, options):
        super().__init__(options, 0)
        self.world = users_world.World(options.seed, options.dirty, options.thin)
        self.given = 0

    def next_seed(self):
        """Each answer without a seed has one of its own; the same ones at every run."""
        with self.lock:
            self.given += 1
            return "%d-%d" % (self.options.seed, self.given)


def number_of(query, name, least, most):
    """A number of the query; what is none, or out of range, becomes the least, as the API does it."""
    text = query.get(name, "")
    return int(text) if text.isdigit() and least <= int(text) <= most else least


def document(state, query, version):
    results = number_of(query, "results", 1, users_world.MOST)
    page = number_of(query, "page", 1, 10000)
    seed = query.get("seed") or state.next_seed()
    if state.options.fixed:
        users = users_fixed.fixed_users()
    else:
        wanted = [nat for nat in query.get("nat", "").upper().split(",") if nat in users_world.BY_VERSION[version]]
        gender = query["gender"] if query.get("gender") in ("female", "male") and "seed" not in query else None
        users = state.world.users(seed, page, results, version, wanted, gender)
    for name in ("inc", "exc"):
        if query.get(name):
            named = set(query[name].split(","))
            users = [{key: value for key, value in user.items() if (key in named) == (name == "inc")} for user in users]
    answer = {"results": users}
    if "noinfo" not in query:
        answer["info"] = {"seed": seed, "results": len(users), "page": page, "version": version}
    if query.get("format", "json").lower() in ("pretty", "prettyjson"):
        return json.dumps(answer, indent=2).encode()
    return json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode()


class Handler(simulator.Handler):
    def page(self, path, query):
        words = path.strip("/").split("/")
        version = words[1] if len(words) > 1 else users_world.VERSIONS[-1]
        if words[0] != "api" or len(words) > 2 or version not in users_world.VERSIONS:
            return False
        self.answer(query, lambda: document(self.state, query, version))
        return True

    def whole(self):
        return document(self.state, {"results": "20"}, users_world.VERSIONS[-1])

    def empty_answer(self):
        return b'{"results":[],"info":{"seed":"none","results":0,"page":1,"version":"1.4"}}'

    @staticmethod
    def huge_pieces():
        return simulator.endless('{"results":[', json.dumps(users_world.user("endless", 1)), ",", "]}")

    def fault_error(self, fault):
        self.send(200, json.dumps(SORRY).encode())

    def fault_no_results(self, fault):
        self.send(200, b'{"info":{"seed":"none","results":0,"page":1,"version":"1.4"}}')


def main(arguments):
    parser = simulator.option_parser(__doc__, 8641)
    parser.add_argument("--dirty", type=int, default=20, help="of 1,000 users, how many are broken (default %(default)s)")
    parser.add_argument("--thin", type=int, default=50, help="of 1,000 users, how many lack a part (default %(default)s)")
    parser.set_defaults(speed=1)
    state = State(parser.parse_args(arguments))
    if state.options.only_print:
        sys.stdout.buffer.write(document(state, {"results": "50", "format": "pretty"}, users_world.VERSIONS[-1]))
        return 0
    return simulator.serve(Handler, state, "/api/%s/" % users_world.VERSIONS[-1])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
