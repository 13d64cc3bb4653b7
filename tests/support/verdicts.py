"""A plugin of pytest that keeps each test's verdict in the file $WEIR_VERDICTS, a line "passed|failed|skipped NODEID" as soon as the test is over,
and leaves out tests that have one there. So when the process dies with a test in hand, another one goes on where it stood.

Called by tests/run_all.sh (`-p support.verdicts`). The file is the account of all processes together.
"""
import os

worst = {}  # by test, until it is over


def verdicts():
    """By test, those of the processes before."""
    with open(os.environ["WEIR_VERDICTS"], encoding="utf-8") as file:
        return dict(reversed(line.rstrip("\n").split(" ", 1)) for line in file)


def pytest_collection_modifyitems(config, items):
    known = verdicts()
    over = [item for item in items if item.nodeid in known]
    if over:
        config.hook.pytest_deselected(items=over)
        items[:] = [item for item in items if item.nodeid not in known]


def pytest_runtest_logreport(report):
    if worst.get(report.nodeid) != "failed":
        worst[report.nodeid] = report.outcome if report.outcome != "passed" else worst.get(report.nodeid, "passed")
    if report.when == "teardown":
        with open(os.environ["WEIR_VERDICTS"], "a", encoding="utf-8") as file:
            file.write("%s %s\n" % (worst.pop(report.nodeid), report.nodeid))
