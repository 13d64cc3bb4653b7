"""A real PostgreSQL of our own: made by initdb in a temporary folder, on a free port of the loopback, with fsync on.

PostgreSQL refuses to run as root, so as root it runs as the user `postgres`. It is stopped by the process id that we started.
"""
import glob
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile

import psycopg2

from support.waiting import dying_with_the_test, eventually


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def binaries():
    """The folder of the newest installed server, or None."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"), key=lambda path: int(path.split("/")[4]))
    return os.path.dirname(found[-1]) if found else None


class Postgres:
    def __init__(self, settings=(), prepare=None):
        self.bin = binaries()
        if self.bin is None:
            raise RuntimeError("PostgreSQL is not installed (package postgresql-15)")
        self.folder = tempfile.mkdtemp(prefix="weir-pg-")
        self.data = os.path.join(self.folder, "data")
        self.port = free_port()
        self.settings = list(settings)
        self.process = None
        self.as_user = {}
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            self.as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        self.run("initdb", "-D", self.data, "-U", "weir", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8")
        if prepare:
            prepare(self)
        self.start()

    def take_in(self, path):
        """A copy of a file into the data folder, readable by the server alone."""
        copy = os.path.join(self.data, os.path.basename(path))
        shutil.copyfile(path, copy)
        if self.as_user:
            os.chown(copy, self.as_user["user"], self.as_user["group"])
        os.chmod(copy, 0o600)

    def run(self, program, *arguments):
        subprocess.run([os.path.join(self.bin, program), *arguments], check=True, cwd=self.folder, stdout=subprocess.DEVNULL,
                       stderr=subprocess.PIPE, **self.as_user)

    def start(self):
        log = open(os.path.join(self.folder, "log"), "ab")
        options = ["listen_addresses=127.0.0.1", "port=%d" % self.port, "unix_socket_directories=%s" % self.folder, "fsync=on",
                   "max_connections=60", "shared_buffers=64MB", "timezone=UTC", "log_line_prefix=%m [%p] %a ", *self.settings]
        arguments = [word for option in options for word in ("-c", option)]
        command = dying_with_the_test([os.path.join(self.bin, "postgres"), "-D", self.data, *arguments], "QUIT")
        self.process = subprocess.Popen(command, cwd=self.folder,
                                        stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, **self.as_user)
        log.close()
        eventually("PostgreSQL answers", self.answers)

    def answers(self):
        if self.process.poll() is not None:
            with open(os.path.join(self.folder, "log"), errors="replace") as log:
                raise RuntimeError("PostgreSQL ended:\n" + log.read()[-4000:])
        try:
            self.connect("postgres").close()
            return True
        except psycopg2.OperationalError:
            return False

    def stop(self, how=signal.SIGINT):
        """SIGINT: fast; SIGQUIT: immediate, as after a power cut of the process; SIGTERM: waits for clients."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(timeout=60)
        self.process = None

    def stop_immediate(self):
        self.stop(signal.SIGQUIT)

    def save(self, name):
        """A copy of the data folder; the server must be stopped."""
        copy = os.path.join(self.folder, name)
        shutil.rmtree(copy, ignore_errors=True)
        subprocess.run(["cp", "-a", self.data, copy], check=True)

    def restore(self, name):
        shutil.rmtree(self.data)
        subprocess.run(["cp", "-a", os.path.join(self.folder, name), self.data], check=True)

    def close(self):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def connect(self, database):
        connection = psycopg2.connect(host="127.0.0.1", port=self.port, user="weir", dbname=database, connect_timeout=5)
        connection.autocommit = True
        return connection

    def create_database(self, name):
        connection = self.connect("postgres")
        connection.cursor().execute('CREATE DATABASE "%s"' % name)
        connection.close()

    def url(self, database):
        return "postgresql://weir@127.0.0.1:%d/%s" % (self.port, database)
