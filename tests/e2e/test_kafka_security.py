"""The line to the brokers: encrypted and verified, with a login. One broker with a TLS listener that asks for a login by PLAIN and another one that
asks for a certificate, and one of each version that asks for SCRAM.

No password may stand in a log line, an error or a process list.
"""
import json
import os
import subprocess
import tempfile

import pytest

from support import kafka_server
from support.targets import count
from support.waiting import eventually

PASSWORD = "s3cret#word"

PIPE = """
pipeline: secure
kafka:
  brokers: "localhost:%d"
%s
topics:
  input: {topic: %s}
sinks:
  out: {from: input, type: table, url: "%s", table: out, columns: {n: bigint}}
"""


def certificate(folder):
    """A certificate for localhost, its own authority; returns what Kafka reads (key and certificate in one file) and what clients trust."""
    key, cert = os.path.join(folder, "key.pem"), os.path.join(folder, "cert.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
                    "subjectAltName=DNS:localhost", "-keyout", key, "-out", cert], check=True, stderr=subprocess.DEVNULL)
    store = os.path.join(folder, "store.pem")
    with open(store, "w") as out:
        for part in (key, cert):
            with open(part) as file:
                out.write(file.read())
    return store, cert


def client_certificate(folder):
    """A certificate by which a client identifies itself, its own authority, and its private key, encrypted with PASSWORD."""
    key, cert = os.path.join(folder, "client-key.pem"), os.path.join(folder, "client.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-days", "2", "-subj", "/CN=pat", "-passout", "pass:" + PASSWORD,
                    "-keyout", key, "-out", cert], check=True, stderr=subprocess.DEVNULL)
    return cert, key


@pytest.fixture(scope="module")
def secure():
    """(broker, its port for logins over TLS, the certificate to trust, its port for clients with a certificate, such a certificate, its key)"""
    try:
        from support import kafka
    except ImportError as reason:
        pytest.skip("no Kafka client: %s" % reason)
    folder = tempfile.mkdtemp(prefix="weir-tls-")
    store, trusted = certificate(folder)
    cert, key = client_certificate(folder)
    port, clients_port = kafka_server.free_ports(2)

    login, clients = "listener.name.login", "listener.name.clients"
    settings = {
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,LOGIN:SASL_SSL,CLIENTS:SSL",
        "sasl.enabled.mechanisms": "PLAIN",
        login + ".plain.sasl.jaas.config": "org.apache.kafka.common.security.plain.PlainLoginModule required" + ' user_pat="%s";' % PASSWORD,
        login + ".ssl.keystore.type": "PEM",
        login + ".ssl.keystore.location": store,
        clients + ".ssl.keystore.type": "PEM",
        clients + ".ssl.keystore.location": store,
        clients + ".ssl.truststore.type": "PEM",
        clients + ".ssl.truststore.location": cert,
        clients + ".ssl.client.auth": "required",
    }
    listeners = {"LOGIN": ("127.0.0.1", port, "localhost", port), "CLIENTS": ("127.0.0.1", clients_port, "localhost", clients_port)}
    try:
        one = kafka.Kafka("4.1", listeners=listeners, settings=settings)
    except kafka_server.KafkaUnavailable as reason:
        pytest.skip("no Kafka: %s" % reason)
    yield one, port, trusted, clients_port, cert, key
    one.close()


@pytest.fixture
def write(pipeline, secure, sqlite_target, tmp_path):
    """write(settings of kafka:) writes a pipeline that reads a topic with one record."""
    broker, port, trusted, clients_port, cert, key = secure
    topic = broker.create_topic()
    broker.produce(topic, [json.dumps({"n": 1})])
    (tmp_path / "password").write_text(PASSWORD + "\n")

    def run(settings, by_certificate=False):
        lines = "".join("  %s\n" % line for line in settings.strip().splitlines())
        for word, path in (("CA", trusted), ("CERT", cert), ("KEY", key)):
            lines = lines.replace(word, path)
        return pipeline(PIPE % (clients_port if by_certificate else port, lines, topic, sqlite_target.url))
    return run


def test_a_login_over_a_verified_line(weir, write, sqlite_target):
    file = write('tls: {ca_file: CA}\nsasl: {mechanism: PLAIN, user: pat, password: "${file:password}"}')
    checked = weir("check", file, "--connect")
    assert checked.code == 0 and "encrypted, the brokers' certificates are verified; login by PLAIN as pat" in checked.out, checked
    result = weir("run", file, "--once")
    assert result.code == 0 and count(sqlite_target, "out") == 1, result
    assert PASSWORD not in checked.out + checked.err + result.out + result.err


def test_a_certificate_that_nobody_signed_is_refused(weir, write, sqlite_target):
    file = write('security: tls\nsasl: {mechanism: PLAIN, user: pat, password: "${file:password}"}')
    result = weir("check", file, "--connect")
    assert result.code == 3 and "certificate" in (result.err + result.out).lower(), result
    assert PASSWORD not in result.out + result.err
    insecure = write('tls: {verify: insecure}\nsasl: {mechanism: PLAIN, user: pat, password: "${file:password}"}')
    assert "certificates are NOT verified" in weir("check", insecure, "--connect").out
    assert weir("run", insecure, "--once").code == 0 and count(sqlite_target, "out") == 1


def test_a_client_with_a_certificate(weir, write, sqlite_target):
    """Its private key lies there encrypted. Without the certificate the broker lets nobody in; no password is told, right or wrong."""
    file = write('tls: {ca_file: CA, certificate: CERT, key: KEY, key_password: "${file:password}"}', by_certificate=True)
    checked = weir("check", file, "--connect")
    assert checked.code == 0, checked
    result = weir("run", file, "--once")
    assert result.code == 0 and count(sqlite_target, "out") == 1, result
    wrong = weir("check", write('tls: {ca_file: CA, certificate: CERT, key: KEY, key_password: wr0ng-one}', by_certificate=True), "--connect")
    assert wrong.code == 3 and "no Kafka client can be made" in wrong.err, wrong
    nobody = weir("check", write('tls: {ca_file: CA}', by_certificate=True), "--connect")
    assert nobody.code == 3 and "certificate" in nobody.err, nobody
    assert not any(word in one.out + one.err for one in (checked, result, wrong, nobody) for word in (PASSWORD, "wr0ng-one"))


def test_a_wrong_password_is_waited_out_and_not_told(write, start, sqlite_target):
    file = write('tls: {ca_file: CA}\nsasl: {mechanism: PLAIN, user: pat, password: wr0ng-one}')
    running = start(file)
    eventually("it says so", lambda: "uthentication" in running.err)
    assert running.alive and "wr0ng-one" not in running.err
    for pid in [running.pid, *[worker.pid for worker in running.workers()]]:
        with open("/proc/%d/cmdline" % pid, "rb") as file:
            assert b"wr0ng-one" not in file.read()
    running.stop()


@pytest.mark.parametrize("version", ["3.9", "4.1"])
def test_a_login_by_scram(weir, pipeline, sqlite_target, version):
    """Debian's client library repeats a part of its answer, which brokers 4.x do not take: then weir says so, and what helps."""
    try:
        from support import kafka
        port = kafka_server.free_ports(1)[0]
        asks = "listener.name.login.%s.sasl.jaas.config"
        module = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        broker = kafka.Kafka(version, listeners={"LOGIN": ("127.0.0.1", port, "127.0.0.1", port)}, accounts={"sue": PASSWORD}, settings={
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,LOGIN:SASL_PLAINTEXT",
            "sasl.enabled.mechanisms": "SCRAM-SHA-256,SCRAM-SHA-512",
            asks % "scram-sha-256": module, asks % "scram-sha-512": module})
    except ImportError as reason:
        pytest.skip("no Kafka client: %s" % reason)
    except kafka_server.KafkaUnavailable as reason:
        pytest.skip("no Kafka: %s" % reason)
    try:
        topic = broker.create_topic()
        for number, mechanism in enumerate(("SCRAM-SHA-256", "SCRAM-SHA-512"), 1):
            broker.produce(topic, [json.dumps({"n": 1})])
            file = pipeline(PIPE.replace("localhost", "127.0.0.1") % (port, '  sasl: {mechanism: %s, user: sue, password: "%s"}' % (
                mechanism, PASSWORD), topic, sqlite_target.url))
            checked = weir("check", file, "--connect")
            assert PASSWORD not in checked.out + checked.err
            if version == "4.1" and client_repeats_the_nonce(weir):
                assert checked.code == 3 and "2.6.1" in checked.err + checked.out, checked
            else:
                assert checked.code == 0 and "login by %s as sue" % mechanism in checked.out, checked
                assert weir("run", file, "--once").code == 0 and count(sqlite_target, "out") == number
    finally:
        broker.close()


def client_repeats_the_nonce(weir):
    """Whether the client library is older than 2.6.1, by what `weir version` says of it."""
    version = weir("version").out.split("librdkafka")[1].split()[0]
    return tuple(int(part) for part in version.split(".")[:3]) < (2, 6, 1)
