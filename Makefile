# Builds weir and runs everything around it. `make help` lists the targets.
#
# A machine that has only make and git needs two targets: `make run` and `make test`. Both print and install what is missing first.
# V chooses the variant (release, debug, asan, tsan, crash); objects of each lie in $(BUILD)/V. `make` leaves the program at ./weir.

MAKEFLAGS += --no-print-directory
ifeq ($(MAKELEVEL),0)
MAKEFLAGS += -j$(shell nproc)
endif
V ?= release
BUILD ?= build
O := $(BUILD)/$(V)
ifeq ($(origin CC),default)
CC := gcc
endif
ifeq ($(origin CXX),default)
CXX := g++
endif
PYTHON ?= /usr/bin/python3

# Every package that building, running or testing needs, named once.
PACKAGES_BUILD := gcc g++ make libc6-dev libsimdjson-dev libyaml-dev libevent-dev libcurl4-openssl-dev libpq-dev libsqlite3-dev librdkafka-dev
PACKAGES_RUN   := ca-certificates python3
# A real Kafka broker: Java, and what fetches its jars. The broker itself is no Debian package (tests/support/kafka_server.py).
PACKAGES_KAFKA := maven openjdk-17-jre-headless
PACKAGES_TEST  := clang clang-format libclang-rt-14-dev libcmocka-dev libmsgpack-dev postgresql-15 pgbouncer python3-pytest python3-psycopg2 \
                  sqlite3 spin strace procps openssl patch util-linux iproute2 kcat python3-confluent-kafka $(PACKAGES_KAFKA)
# For the test of the container image alone, which is skipped where they cannot be had.
PACKAGES_CONTAINER := podman buildah runc debootstrap

CFLAGS_release := -O2 -g
CFLAGS_debug   := -O0 -g3
# With a sanitizer gcc sees fewer paths and warns of values that the release build proves to be set.
CFLAGS_asan    := -O1 -g -Wno-maybe-uninitialized -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
CFLAGS_tsan    := -O1 -g -Wno-maybe-uninitialized -fsanitize=thread
CFLAGS_crash   := -O2 -g -DWEIR_CRASH_POINTS
LDFLAGS_asan   := -fsanitize=address,undefined
LDFLAGS_tsan   := -fsanitize=thread

# One short line a step; VERBOSE=1 shows the commands.
SAY = $(if $(VERBOSE),,@printf '  %-4s %s\n' $(1) $(2);)

WARNINGS := -Wall -Wextra -Werror -Wshadow -Wconversion
CPPFLAGS += -I. -D_GNU_SOURCE -I/usr/include/postgresql
CFLAGS   += -std=c17 $(WARNINGS) $(CFLAGS_$(V)) $(EXTRA_CFLAGS)
CXXFLAGS += -std=c++17 $(WARNINGS) $(CFLAGS_$(V)) $(EXTRA_CFLAGS)
LDFLAGS  += $(LDFLAGS_$(V))
LDLIBS   += -lsimdjson -lstdc++ -lyaml -levent_core -lcurl -lpq -lsqlite3 -lrdkafka -lm -lpthread

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
	$(call SAY,LD,$@)$(CXX) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(LIBRARY): $(filter-out $(O)/supervisor/main.o,$(OBJECTS))
	@rm -f $@
	$(call SAY,AR,$@)$(AR) qcs $@ $^

$(O)/%.o: %.c
	@mkdir -p $(@D)
	$(call SAY,CC,$@)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(O)/%.o: %.cc
	@mkdir -p $(@D)
	$(call SAY,CXX,$@)$(CXX) $(CPPFLAGS) $(CXXFLAGS) -MMD -MP -c -o $@ $<

$(O)/tests/unit/%: $(O)/tests/unit/%.o $(LIBRARY)
	$(call SAY,LD,$@)$(CXX) $(LDFLAGS) -o $@ $^ -lcmocka -lmsgpackc $(LDLIBS)

$(O)/tests/crash/%: $(O)/tests/crash/%.o $(LIBRARY)
	$(call SAY,LD,$@)$(CXX) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(O)/bench/%: $(O)/bench/%.o $(LIBRARY)
	$(call SAY,LD,$@)$(CXX) $(LDFLAGS) -o $@ $^ $(LDLIBS)

.SECONDARY:
-include $(shell find $(O) -name '*.d' 2>/dev/null)

# Unit tests of variant V, one after the other; UNIT=test_ring runs one.
.PHONY: unit
unit: $(UNITS)
	@tests/run_units.sh $(O) $(UNIT)

# Fuzz targets: libFuzzer with AddressSanitizer, corpus in tests/fuzz/corpus/NAME. SECONDS bounds each; FUZZ=fuzz_json runs one.
SECONDS ?= 10
FUZZERS := $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_SOURCES := $(filter-out supervisor/main.c,$(SOURCES_C))
FUZZ_OBJECTS := $(FUZZ_SOURCES:%.c=$(BUILD)/fuzz/%.o) $(SOURCES_CC:%.cc=$(BUILD)/fuzz/%.o)
FUZZ_FLAGS := -g -O1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -Wno-unused-command-line-argument

$(BUILD)/fuzz/%.o: %.c
	@mkdir -p $(@D)
	$(call SAY,CC,$@)clang $(CPPFLAGS) -std=c17 $(WARNINGS) $(FUZZ_FLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/fuzz/%.o: %.cc
	@mkdir -p $(@D)
	$(call SAY,LD,$@)clang++ $(CPPFLAGS) -std=c++17 $(WARNINGS) $(FUZZ_FLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/fuzz/libweir.a: $(FUZZ_OBJECTS)
	@rm -f $@
	$(call SAY,AR,$@)$(AR) qcs $@ $^

$(BUILD)/fuzz/fuzz_%: $(BUILD)/fuzz/tests/fuzz/fuzz_%.o $(BUILD)/fuzz/libweir.a
	$(call SAY,LD,$@)clang++ -fsanitize=fuzzer,address,undefined -o $@ $^ $(LDLIBS)

.PHONY: fuzz fuzz-build
fuzz-build: $(FUZZERS)
fuzz: fuzz-build
	@tests/fuzz/run.sh $(BUILD)/fuzz $(SECONDS) $(FUZZ)

.PHONY: bench-build
bench-build: $(BENCHES)
.PHONY: crash-build
crash-build: $(CRASHERS) $(O)/weir

# Packages: printed, then installed when something is missing. Needs root or sudo.
.PHONY: packages-run packages-test packages-kafka packages-container
packages-run:
	@tests/packages.sh $(PACKAGES_BUILD) $(PACKAGES_RUN)
packages-test:
	@tests/packages.sh $(PACKAGES_BUILD) $(PACKAGES_RUN) $(PACKAGES_TEST)
packages-kafka:
	@tests/packages.sh $(PACKAGES_RUN) $(PACKAGES_KAFKA) kcat
packages-container:
	@tests/packages.sh $(PACKAGES_CONTAINER)

# Builds weir and runs the main job on the embedded default (or on DATABASE_URL).
.PHONY: run
run: packages-run
	@$(MAKE) weir
	@pipelines/run.sh eonet

# The second pipeline: people from randomuser.me.
.PHONY: run-users
run-users: packages-run
	@$(MAKE) weir
	@pipelines/run.sh users

# A real Kafka broker of one node on 127.0.0.1:9092 (or KAFKA_PORT), for trying things out.
.PHONY: kafka kafka-stop
kafka: packages-kafka
	@pipelines/kafka.py start
kafka-stop:
	@pipelines/kafka.py stop

.PHONY: test
test: packages-test
	@tests/run_all.sh

.PHONY: bench
bench: packages-test
	@$(MAKE) weir bench-build
	@bench/run.sh $(O)

# A real broker's topic through SQL into PostgreSQL and into a topic, beside the limits of the machine; YARDSTICK=PROGRAM runs that beside it.
.PHONY: bench-kafka
bench-kafka: packages-test
	@$(MAKE) weir bench-build
	@BENCH=$(O)/bench $(PYTHON) bench/kafka.py

.PHONY: crash
crash: packages-test
	@$(MAKE) weir && $(MAKE) V=crash crash-build
	@tests/crash/run_full.sh

# One mutant: make mutants MUTANT=fence_result_not_checked
.PHONY: mutants
mutants: packages-test
	@tests/mutants/run.sh $(MUTANT)

.PHONY: crash-points
crash-points:
	@grep -rhoE 'CRASH_POINT\("[a-z_.]+"\)' shm proto workers supervisor | sort -u

# The settings table makes docs/reference.md; `make test` fails when it is stale.
.PHONY: reference
reference: weir
	./weir reference > docs/reference.md
	./weir reference --schema > docs/pipeline.schema.json

PREFIX ?= /usr/local
.PHONY: install
install: weir
	install -D -m 0755 weir $(DESTDIR)$(PREFIX)/bin/weir

.PHONY: help
help:
	@echo "make run      build, run the EONET job on SQLite (or DATABASE_URL)"
	@echo "make run-users  the same for the people of randomuser.me"
	@echo "make test     everything that CI runs; last line: N passed, N failed, N skipped"
	@echo "make kafka    starts a real Kafka broker on 127.0.0.1:9092 for trying things out; make kafka-stop ends it"
	@echo "make unit     unit tests; V=asan or V=tsan for a sanitizer, UNIT=test_ring for one program"
	@echo "make fuzz     fuzz targets for SECONDS each; FUZZ=fuzz_json for one"
	@echo "make bench    measurements, as ratios in one run"
	@echo "make bench-kafka  a real broker: topic -> SQL -> PostgreSQL, topic -> topic"
	@echo "make crash    the full crash suite (hours); tests/crash/README.md says how to run one"
	@echo "make mutants  builds with one rule broken each; MUTANT=NAME for one"
	@echo "make model    exhaustive model of the ring protocol"
	@echo "make layers   which folder may include what"
	@echo "make format reference install clean"

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
