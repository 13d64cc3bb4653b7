"""A simulator of pipelines/simulators as a process, and its control page."""
import json
import os
import subprocess
import urllib.parse
import urllib.request

from support.instance import ROOT
from support.waiting import dying_with_the_test

FOLDER = os.path.join(ROOT, "pipelines", "simulators")
PROGRAM = os.path.join(FOLDER, "eonet.py")
USERS = os.path.join(FOLDER, "users.py")


class Simulator:
    def __init__(self, *arguments, program=PROGRAM):
        command = dying_with_the_test(["/usr/bin/python3", program, "--port", "0", *map(str, arguments)])
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.url = self.process.stdout.readline().strip()
        if not self.url:
            raise RuntimeError("the simulator did not start")

    def get(self, **query):
        return self.get_url(self.url + "?" + urllib.parse.urlencode(query))

    @staticmethod
    def get_url(url):
        with urllib.request.urlopen(url, timeout=60) as answer:
            return answer.read().decode()

    def control(self, **query):
        base = self.url.split("/api/")[0]
        with urllib.request.urlopen(base + "/control?" + urllib.parse.urlencode(query), timeout=60) as answer:
            return json.load(answer)

    def close(self):
        self.process.terminate()
        self.process.wait(timeout=30)
        self.process.stdout.close()
