"""A real PgBouncer of our own in front of a server of the tests, on a free port of the loopback. It refuses to run as root, as PostgreSQL does."""
import os
import shutil
import signal
import subprocess
import tempfile

import psycopg2

from support.postgres import free_port
from support.waiting import dying_with_the_test, eventually


class PgBouncer:
    def __init__(self, server, mode, pool=20):
        self.program = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
        if not os.path.exists(self.program):
            raise RuntimeError("PgBouncer is not installed (package pgbouncer)")
        self.server, self.mode = server, mode
        self.folder = tempfile.mkdtemp(prefix="weir-pgbouncer-")
        self.port = free_port()
        users = os.path.join(self.folder, "users")
        with open(users, "w") as file:
            file.write('"weir" ""\n')
        with open(os.path.join(self.folder, "ini"), "w") as file:
            file.write("[databases]\n* = host=127.0.0.1 port=%d\n[pgbouncer]\n" % server.port)
            for line in ("listen_addr = 127.0.0.1", "listen_port = %d" % self.port, "unix_socket_dir = %s" % self.folder, "auth_type = trust",
                         "auth_file = %s" % users, "pool_mode = %s" % mode, "default_pool_size = %d" % pool, "max_client_conn = 100"):
                file.write(line + "\n")
        if server.as_user:
            for path in (self.folder, users, os.path.join(self.folder, "ini")):
                os.chown(path, server.as_user["user"], server.as_user["group"])
        self.start()

    def start(self):
        with open(os.path.join(self.folder, "log"), "ab") as log:
            command = dying_with_the_test([self.program, os.path.join(self.folder, "ini")], "QUIT")
            self.process = subprocess.Popen(command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            start_new_session=True, **self.server.as_user)
        eventually("PgBouncer answers", self.answers)

    def answers(self):
        if self.process.poll() is not None:
            with open(os.path.join(self.folder, "log"), errors="replace") as log:
                raise RuntimeError("PgBouncer ended:\n" + log.read()[-4000:])
        try:
            psycopg2.connect(host="127.0.0.1", port=self.port, user="weir", dbname="postgres", connect_timeout=5).close()
            return True
        except psycopg2.OperationalError:
            return False

    def stop(self):
        """At once: all its sessions break."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(timeout=60)
        self.process = None

    def close(self):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database):
        return "postgresql://weir@127.0.0.1:%d/%s" % (self.port, database)
