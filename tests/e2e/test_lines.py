"""What lies between weir and PostgreSQL: verified TLS, and a pooler. The servers, the authority and the pooler are real."""
import os
import signal
import subprocess

import pytest

from support import postgres, targets
from support.pgbouncer import PgBouncer
from support.waiting import eventually

PIPELINE = """pipeline: lines
sources:
  lines: {type: file, path: in.ndjson, follow: %s, poll: 20ms}
sinks:
  out: {from: lines, type: table, url: "${URL}", table: t, columns: {n: bigint}, rows: 200}
"""


def write(tmp_path, follow=False):
    path = tmp_path / "pipeline.yaml"
    path.write_text(PIPELINE % ("true" if follow else "false"))
    return path


def feed(tmp_path, numbers):
    with open(tmp_path / "in.ndjson", "a") as file:
        file.writelines('{"n": %d}\n' % n for n in numbers)


# ---- TLS

def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def authority(folder, name):
    """An authority of its own: (certificate, key)."""
    certificate, key = folder / (name + ".pem"), folder / (name + ".key")
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=" + name,
            "-keyout", key, "-out", certificate)
    return certificate, key


@pytest.fixture(scope="module")
def secured(tmp_path_factory):
    """A server with a certificate for db.test and 127.0.0.1, signed by `ca`; `stranger` is another authority."""
    folder = tmp_path_factory.mktemp("tls")
    ca, ca_key = authority(folder, "ca")
    stranger, _ = authority(folder, "stranger")
    request, certificate, key, names = folder / "server.csr", folder / "server.pem", folder / "server.key", folder / "names"
    names.write_text("subjectAltName=DNS:db.test,IP:127.0.0.1\n")
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=db.test", "-keyout", key,
            "-out", request)
    openssl("x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca_key, "-CAcreateserial", "-days", "2", "-extfile", names,
            "-out", certificate)
    one = postgres.Postgres(prepare=lambda server: [server.take_in(path) for path in (certificate, key)],
                            settings=["ssl=on", "ssl_cert_file=server.pem", "ssl_key_file=server.key"])
    one.ca, one.stranger = ca, stranger
    yield one
    one.close()


def secured_url(server, host, **options):
    """The name is what is verified; the address is where it is."""
    words = "&".join("%s=%s" % pair for pair in dict(hostaddr="127.0.0.1", **options).items())
    return "postgresql://weir@%s:%d/postgres?%s" % (host, server.port, words)


def refused(weir, pipeline, url, env=None):
    done = weir("check", pipeline, "--connect", env={"URL": url, **(env or {})})
    assert done.code == 3, done
    return done.err


def test_a_verified_line(weir, secured, tmp_path):
    pipeline = write(tmp_path)
    url = secured_url(secured, "db.test", sslmode="verify-full", sslrootcert=secured.ca)
    done = weir("check", pipeline, "--connect", env={"URL": url})
    assert done.code == 0 and "encrypted (TLS" in done.out and "the server's certificate is verified" in done.out, done
    feed(tmp_path, range(100))
    done = weir("run", pipeline, "--once", env={"URL": url})
    assert done.code == 0, done
    connection = secured.connect("postgres")
    cursor = connection.cursor()
    cursor.execute("SELECT count(*), count(DISTINCT n) FROM t")
    assert cursor.fetchall() == [(100, 100)]
    connection.close()


def test_lines_that_are_not_verified_are_refused(weir, secured, tmp_path):
    pipeline = write(tmp_path)
    err = refused(weir, pipeline, secured_url(secured, "db.test", sslmode="verify-full", sslrootcert=secured.stranger))
    assert "certificate verify failed" in err, err
    err = refused(weir, pipeline, secured_url(secured, "other.test", sslmode="verify-full", sslrootcert=secured.ca))
    assert "does not match host name" in err and "other.test" in err, err


def test_a_line_to_another_machine_is_verified_unasked(weir, secured, tmp_path):
    """The number is 127.0.0.1 to the resolver and to the certificate, and no local name to weir."""
    pipeline = write(tmp_path)
    url = "postgresql://weir@2130706433:%d/postgres" % secured.port
    assert "certificate verify failed" in refused(weir, pipeline, url)  # the system's authorities do not know this one
    assert "certificate verify failed" in refused(weir, pipeline, url, {"PGSSLROOTCERT": str(secured.stranger)})
    done = weir("check", pipeline, "--connect", env={"URL": url, "PGSSLROOTCERT": str(secured.ca)})
    assert done.code == 0 and "the server's certificate is verified (sslmode=verify-full)" in done.out, done
    done = weir("check", pipeline, "--connect", env={"URL": url + "?sslmode=require"})
    assert done.code == 0 and "the server's certificate is NOT verified (sslmode=require)" in done.out, done


# ---- PgBouncer

@pytest.fixture
def pooler(server):
    begun = []

    def run(mode, **options):
        begun.append(PgBouncer(server, mode, **options))
        return begun[-1]
    yield run
    for one in begun:
        one.close()


def test_a_pooler_that_keeps_sessions(start, pooler, database, tmp_path):
    """Each row once, whatever is killed: workers, the whole instance, the pooler itself."""
    between = pooler("session")
    env = {"URL": between.url(database.database)}
    running = start(write(tmp_path, follow=True), "--state", tmp_path / "state", env=env)
    fed = 0
    for kill in ("none", "sinker", "producer", "sinker", "tree", "pooler", "sinker"):
        feed(tmp_path, range(fed, fed + 3000))
        fed += 3000
        eventually("rows come", lambda: targets.count(database, "t") > fed - 3000)
        if kill == "tree":
            running.kill_tree()
            running = start(write(tmp_path, follow=True), "--state", tmp_path / "state", env=env)
        elif kill == "pooler":
            between.stop()
            between.start()
        elif kill != "none":
            os.kill(running.worker(kill).pid, signal.SIGKILL)
    eventually("all rows are there", lambda: targets.count(database, "t") >= fed)
    ended = running.stop()
    assert ended.code == 0, ended
    assert database.query("SELECT count(*), count(DISTINCT n), max(n) FROM t") == [(fed, fed, fed - 1)]


@pytest.mark.parametrize("mode", ["transaction", "statement"])
@pytest.mark.parametrize("pool", [1, 20])
def test_a_pooler_that_does_not_is_refused(weir, pooler, database, tmp_path, mode, pool):
    env = {"URL": pooler(mode, pool=pool).url(database.database)}
    pipeline = write(tmp_path)
    feed(tmp_path, range(10))
    done = weir("check", pipeline, "--connect", env=env)
    assert done.code == 3 and "pool_mode = session" in done.err, done
    done = weir("run", pipeline, "--once", env=env)
    assert done.code == 1 and "pool_mode = session" in done.err, done
    assert database.tables() == set()


def test_a_pooler_without_room_is_an_outage(start, pooler, database, tmp_path):
    """Whether it keeps sessions together cannot be seen: weir waits, and says for what."""
    env = {"URL": pooler("session", pool=1).url(database.database)}
    feed(tmp_path, range(10))
    running = start(write(tmp_path), "--once", env=env)
    eventually("it says what it waits for", lambda: "a second session through the pooler" in running.err)
    assert running.alive and database.tables() == set()


# ---- a host that nobody knows

def test_an_unknown_host_is_told_at_once_and_waited_for(start, tmp_path):
    """No name, so no socket: the cause is known before any timeout, and the name may be made yet."""
    feed(tmp_path, range(10))
    running = start(write(tmp_path), "--once", env={"URL": "postgresql://weir:Pa55w0rdX@nohost.invalid/postgres?sslmode=disable"})
    eventually("it says why", lambda: "could not translate host name" in running.err)
    assert "class=outage" in running.err and "did not answer within" not in running.err
    assert running.alive and "Pa55" not in running.err
