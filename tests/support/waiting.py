"""Waiting for something that will come: polled, with a limit that only says "never"; and processes that do not outlive the test."""
import os
import time

# Seconds; nobody asserts on it, it only ends a test that hangs. Mutants hang often, and are given less.
NEVER = float(os.environ.get("TESTS_NEVER", "120"))


def eventually(what, question, seconds=NEVER, pause=0.02):
    """Calls `question` until it gives something true, and returns that. `what` names it in the error."""
    end = time.monotonic() + seconds
    while True:
        answer = question()
        if answer:
            return answer
        if time.monotonic() > end:
            raise TimeoutError("%s: not within %d s; last answer %r" % (what, seconds, answer))
        time.sleep(pause)



def dying_with_the_test(command, how="KILL"):
    """The command, so that its process gets this signal when the test that started it dies, however that happens."""
    return ["setpriv", "--pdeathsig", how, "--", *command]
