// `weir status`, `weir stop`, `weir reload`: the verbs that ask a running instance.
//
// NAME          verb_control - ask over STATE/control, show the answer
// DESCRIPTION   The state folder is --state, $WEIR_STATE, or the one of the pipeline file, which may be bad by now: only its name counts.
//               `stop` returns when the process that answered is gone.
// DIAGNOSTICS   Exit 3 when no instance runs there; 2 when the folder cannot be told from the command line; 1 when the answer is a
//               refusal.
#pragma once
#include "supervisor/command_line.h"

int verb_control(const struct command *command);
