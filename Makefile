# Every habit is one word.  `make demo` and `make test` need only Python >= 3.11, gcc and make.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
CASE   := pcaps/two-nodes

.PHONY: demo test check build lint golden bench bench-peers bench-scale bench-instructions bench-assemble bench-start sanitize fuzz kernel-fuzz record clean

demo: build         ## replay the recorded conversation and print what happened to each packet
	$(BIN)/dataplane replay -f $(CASE)/cluster.yaml -r $(CASE)/client.pcap

test: build         ## unit, property, golden, architecture and (as root) kernel tests
	$(BIN)/python -m pytest

check: lint test    ## what a change must pass

lint: build         ## ruff, mypy, cython-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PATH=$(BIN):$$PATH $(BIN)/cython-lint _fastpath

build: $(VENV)/installed     ## make .venv and compile the kernels in place
	@$(BIN)/python setup.py -q build_ext --inplace
	@$(BIN)/python -m compileall -q dataplane

$(VENV)/installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q 'setuptools>=77' 'cython>=3.1' 'numpy>=2.0'
	$(BIN)/pip install -q --no-build-isolation -e '.[dev]'
	@touch $@

golden: build       ## rewrite the traces in tests/golden, then review the diff
	UPDATE_GOLDEN=1 $(BIN)/python -m pytest tests/test_golden.py
	git diff --stat tests/golden

bench: build        ## packets per second and nanoseconds per packet, with a checksum of the answers
	@$(BIN)/python -m pytest benchmarks --benchmark-only --benchmark-quiet

bench-peers: build  ## side by side on one core: the plain-C floor, ours, Linux (root), dpkt, scapy
	$(BIN)/python -m benchmarks.peers $(PEERS)

bench-instructions: build  ## instructions a packet, by kernel module (valgrind)
	$(BIN)/python -m benchmarks.peers.instructions

bench-assemble: build  ## seconds from objects and texts to an image, and bytes per rule
	@$(BIN)/python -m benchmarks.assemble

bench-start: build  ## a trace as a whole process, beside an empty interpreter
	@$(BIN)/python -m benchmarks.startup

bench-scale: build  ## what a packet costs as rules, Services and flows grow: tables and plots
	@$(BIN)/python -m benchmarks.scale $(CURVES)

# A copy, so that the kernels in place stay fast ones.  Python's own leaks are not our subject;
# reports are written past pytest, which therefore captures no file descriptors.
SANITIZED := build/sanitize
SANITIZERS = $(shell gcc -print-file-name=libasan.so) $(shell gcc -print-file-name=libubsan.so)

sanitize: $(VENV)/installed     ## the same tests with the kernels watched by ASan and UBSan
	mkdir -p $(SANITIZED)
	rm -rf $(SANITIZED)/dataplane $(SANITIZED)/tests $(SANITIZED)/_fastpath/*.p[yx][xd]
	tar -c --exclude='*.so' --exclude='*.c' --exclude=__pycache__ \
	    _fastpath dataplane tests pcaps $(wildcard *.md) setup.py pyproject.toml | tar -x -m -C $(SANITIZED)
	cd $(SANITIZED) && DATAPLANE_SANITIZE=1 $(abspath $(BIN))/python setup.py -q build_ext --inplace
	cd $(SANITIZED) && LD_PRELOAD="$(SANITIZERS)" ASAN_OPTIONS=detect_leaks=0 \
	    UBSAN_OPTIONS=print_stacktrace=1 PYTHONMALLOC=malloc \
	    $(abspath $(BIN))/python -m pytest -p no:cacheprovider --capture=sys --timeout=900 \
	    -m "not kernel" -k "not process and not subprocess" --ignore=tests/test_docs.py $(TESTS)

fuzz: build         ## the same properties, a hundred times longer
	HYPOTHESIS_PROFILE=fuzz $(BIN)/python -m pytest --timeout=0 -k "equals or inverts or hostile"

N ?= 100000
SEED ?= 1
WORKERS ?= 2
kernel-fuzz: build  ## N random packets over random rule sets, this kernel against ours (root)
	$(BIN)/python -m tests.kernel.fuzzing.run --packets $(N) --seed $(SEED) --workers $(WORKERS)

record: build       ## record pcaps/two-nodes again from the real kernel (root)
	$(BIN)/python pcaps/record.py

clean:
	rm -rf build dist *.egg-info _fastpath/*.c _fastpath/*.so
