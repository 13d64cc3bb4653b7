#!/bin/sh
# What `make crash` calls: the full crash suite.
exec "$(dirname "$0")/all.sh" full
