# Builds weir and runs everything around it. `make help` lists the targets.
#
# V chooses the variant (release, debug, asan, tsan, crash); objects of each lie in $(BUILD)/V. `make` leaves the program at ./weir.

V ?= release
BUILD ?= build
O := $(BUILD)/$(V)
CC ?= gcc
CXX ?= g++
PYTHON ?= /usr/bin/python3

# Every package that building, running or testing needs, named once.
PACKAGES_BUILD := gcc g++ make libc6-dev libsimdjson-dev libyaml-dev libevent-dev libcurl4-openssl-dev libpq-dev libsqlite3-dev
PACKAGES_RUN   := ca-certificates python3
PACKAGES_TEST  := clang clang-format libclang-rt-14-dev libcmocka-dev libmsgpack-dev postgresql-15 python3-pytest python3-psycopg2 \
                  sqlite3 spin strace procps

CFLAGS_release := -O2 -g
CFLAGS_debug   := -O0 -g3
CFLAGS_asan    := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
CFLAGS_tsan    := -O1 -g -fsanitize=thread
CFLAGS_crash   := -O2 -g -DWEIR_CRASH_POINTS
LDFLAGS_asan   := -fsanitize=address,undefined
LDFLAGS_tsan   := -fsanitize=thread

WARNINGS := -Wall -Wextra -Werror -Wshadow -Wconversion
CPPFLAGS += -I. -D_GNU_SOURCE -I/usr/include/postgresql
CFLAGS   += -std=c17 $(WARNINGS) $(CFLAGS_$(V)) $(EXTRA_CFLAGS)
CXXFLAGS += -std=c++17 $(WARNINGS) $(CFLAGS_$(V)) $(EXTRA_CFLAGS)
LDFLAGS  += $(LDFLAGS_$(V))
LDLIBS   += -lsimdjson -lstdc++ -lyaml -levent_core -lcurl -lpq -lsqlite3 -lm -lpthread

SOURCES_C  := $(wildcard shm/*.c proto/*.c workers/*.c workers/*/*.c supervisor/*.c)
SOURCES_CC := $(wildcard proto/*.cc)
OBJECTS    := $(SOURCES_C:%.c=$(O)/%.o) $(SOURCES_CC:%.cc=$(O)/%.o)
LIBRARY    := $(O)/libweir.a
UNITS      := $(patsubst %.c,$(O)/%,$(wildcard tests/unit/test_*.c))
BENCHES    := $(patsubst %.c,$(O)/%,$(wildcard bench/*_bench.c))
CRASHERS   := $(patsubst %.c,$(O)/%,$(wildcard tests/crash/*.c))

.PHONY: all
all: weir

weir: $(BUILD)/release/weir
	@cp $< $@.new && mv $@.new $@

ifneq ($(V),release)
$(BUILD)/release/weir:
	$(MAKE) V=release $@
endif

$(O)/weir: $(O)/supervisor/main.o $(LIBRARY)
	$(CXX) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(LIBRARY): $(filter-out $(O)/supervisor/main.o,$(OBJECTS))
	@rm -f $@
	$(AR) rcs $@ $^

$(O)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(O)/%.o: %.cc
	@mkdir -p $(@D)
	$(CXX) $(CPPFLAGS) $(CXXFLAGS) -MMD -MP -c -o $@ $<

$(O)/tests/unit/%: $(O)/tests/unit/%.o $(LIBRARY)
	$(CXX) $(LDFLAGS) -o $@ $^ -lcmocka -lmsgpackc $(LDLIBS)

$(O)/tests/crash/%: $(O)/tests/crash/%.o $(LIBRARY)
	$(CXX) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(O)/bench/%: $(O)/bench/%.o $(LIBRARY)
	$(CXX) $(LDFLAGS) -o $@ $^ $(LDLIBS)

.SECONDARY:
-include $(shell find $(O) -name '*.d' 2>/dev/null)

# Unit tests of variant V, one after the other; UNIT=test_ring runs one.
.PHONY: unit
unit: $(UNITS)
	@tests/run_units.sh $(O) $(UNIT)

.PHONY: bench-build
bench-build: $(BENCHES)

.PHONY: layers
layers:
	@tests/layers.sh

.PHONY: model
model:
	@tests/model/run.sh

.PHONY: format
format:
	clang-format -i $$(git ls-files '*.c' '*.h' '*.cc')

.PHONY: clean
clean:
	rm -rf build weir
