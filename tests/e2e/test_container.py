"""The image: built without a registry by podman and runc, run as PID 1, not root, on a read-only root, with state in a volume.

Skipped where podman cannot be installed (no root, no packages) or containers cannot be run here.
"""
import os
import shutil
import sqlite3
import subprocess

import pytest

from support.instance import ROOT
from support.simulator import Simulator
from support.waiting import eventually

BASE = os.path.join(ROOT, "build", "debian-base.tar")


def shell(text, **options):
    return subprocess.run(["sh", "-ec", text], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", **options)


def need(text, reason):
    done = shell(text)
    if done.returncode != 0:
        pytest.skip("%s: %s" % (reason, done.stdout.strip().splitlines()[-1:]))
    return done.stdout


@pytest.fixture(scope="module")
def podman(tmp_path_factory):
    """podman(arguments...) with storage of its own; the base image stands in for the official one under its name."""
    if os.geteuid() != 0:
        pytest.skip("building an image needs root here")
    if any(shutil.which(name) is None for name in ("podman", "runc", "debootstrap")):
        need("make -s -C '%s' packages-container" % ROOT, "podman cannot be installed")
    if not os.path.exists(BASE):
        make_base(tmp_path_factory.mktemp("base"))
    folder = tmp_path_factory.mktemp("podman")
    conf = folder / "conf"
    files = min(int(shell("ulimit -Hn").stdout), 20000)
    conf.write_text('[containers]\ndefault_ulimits = ["nofile=%d:%d", "nproc=4096:4096"]\n[engine]\nruntime = "runc"\n' % (files, files))
    base = ["podman", "--root", str(folder / "storage"), "--runroot", str(folder / "run")]

    def run(*arguments, check=True, timeout=900):
        done = subprocess.run(base + [str(argument) for argument in arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              errors="replace", timeout=timeout, env=dict(os.environ, CONTAINERS_CONF=str(conf)))
        if check:
            assert done.returncode == 0, done.stdout[-6000:]
        return done
    loaded = run("import", BASE, "localhost/debian:bookworm-slim", check=False)
    if loaded.returncode != 0:
        pytest.skip("podman cannot work here: " + loaded.stdout.strip()[-300:])
    yield run
    run("rm", "-f", "-a", check=False)
    run("rmi", "-f", "-a", check=False)


def make_base(folder):
    """A minimal Debian from the same mirror as this machine's packages."""
    tree = folder / "tree"
    need("""
      mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Codename: bookworm' 'Component: main' |
        grep -v security | sort -u | head -1)
      debootstrap --variant=minbase bookworm "%(tree)s" "${mirror%%/}"
      cd "%(tree)s" && rm -rf var/cache/apt/*.bin var/cache/apt/archives/*.deb var/lib/apt/lists/* etc/resolv.conf etc/hostname
      mkdir -p "%(build)s" && tar --numeric-owner -cf "%(base)s.new" . && mv "%(base)s.new" "%(base)s"
    """ % {"tree": tree, "base": BASE, "build": os.path.dirname(BASE)}, "no base image can be made")
    shutil.rmtree(tree)


@pytest.fixture(scope="module")
def image(podman):
    podman("build", "--pull-never", "--network=host", "--format", "docker", "-f", os.path.join(ROOT, "docker", "Dockerfile"), "-t",
           "weir:test", ROOT)
    return "weir:test"


def rows(path):
    if not os.path.exists(path):
        return 0
    connection = sqlite3.connect("file:%s?mode=ro" % path, uri=True)
    try:
        return connection.execute("SELECT count(*) FROM events").fetchone()[0]
    except sqlite3.OperationalError:
        return 0
    finally:
        connection.close()


def test_the_image_says_its_version(podman, image):
    assert "weir" in podman("run", "--rm", "--network=none", image, "version").stdout


def test_a_container_runs_the_job_survives_a_kill_and_stops_in_order(podman, image, tmp_path):
    simulator = Simulator("--events", 50)
    volume = tmp_path / "volume"
    volume.mkdir()
    os.chown(volume, 10001, 10001)
    try:
        podman("run", "-d", "--name", "one", "--no-healthcheck", "--network=host", "--read-only", "--tmpfs", "/tmp", "--memory=128m",
               "--pids-limit=50", "--cap-drop=ALL", "--security-opt", "no-new-privileges", "-v", "%s:/var/lib/weir" % volume,
               "-e", "EONET_URL=" + simulator.url, "-e", "EONET_EVERY=300ms", image)
        eventually("rows in the volume", lambda: rows(volume / "eonet.db") > 0)
        first = int(podman("inspect", "one", "--format", "{{.State.Pid}}").stdout)
        status = open("/proc/%d/status" % first).read()
        assert "\nUid:\t10001\t" in status and "\nNSpid:\t%d\t1\n" % first in status
        workers = [int(pid) for pid in open("/proc/%d/task/%d/children" % (first, first)).read().split()]
        os.kill(workers[0], 9)
        eventually("another worker took its place",
                   lambda: set(map(int, open("/proc/%d/task/%d/children" % (first, first)).read().split())) - set(workers))
        before = rows(volume / "eonet.db")
        simulator.control(advance=5 * 86400)
        eventually("new rows flow", lambda: rows(volume / "eonet.db") > before)
        assert podman("healthcheck", "run", "one", check=False).returncode in (0, 125)  # 125: not set up without systemd
        podman("stop", "-t", "60", "one")
        assert podman("inspect", "one", "--format", "{{.State.ExitCode}}").stdout.strip() == "0", podman("logs", "one").stdout
    finally:
        simulator.close()
        podman("rm", "-f", "one", check=False)
