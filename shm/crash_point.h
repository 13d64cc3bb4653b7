// Named places at which a test kills the process; nothing at all in a normal build (WEIR_CRASH_POINTS is defined by the test build only).
//
// WEIR_CRASH="NAME:N" kills the process with SIGKILL the N-th time (from 1) that it passes NAME, when its generation (WEIR_GENERATION, set
// by the supervisor at exec) is 0, so that the successor lives. WEIR_CRASH="NAME:N:ROLE/NODE" limits it to one worker: the one whose
// WEIR_WORKER (set by the supervisor at exec) is ROLE/NODE.
// Names: <part>.<step>, as "sink.before_commit". `make crash-points` lists them with grep.
#pragma once
#ifdef WEIR_CRASH_POINTS
void crash_point(const char *name);
#define CRASH_POINT(name) crash_point(name)
#else
#define CRASH_POINT(name) ((void)0)
#endif
