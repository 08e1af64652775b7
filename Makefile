# Gossamer. `make demo` shows the main job, `make test` runs every test; both set up what they need in .venv.

PYTHON ?= python3.11
BIN := .venv/bin
# torch first, and exactly the CPU build: a looser range would pull gigabytes of CUDA.
TORCH := torch==2.13.0

.PHONY: demo test lint format bench clean
.DEFAULT_GOAL := demo

demo: .venv/ready
	$(BIN)/python samples/bert_padding.py
	$(BIN)/python samples/decode.py
	$(BIN)/python samples/spiking.py
	$(BIN)/python samples/training.py

test: .venv/ready
	$(BIN)/python -m pytest -n 2 --dist loadfile -q

lint: .venv/lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

format: .venv/lint
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/ready
	$(BIN)/python -m benchmarks

clean:
	rm -rf .venv build *.egg-info

# Peers without what they ask for: it would pull torchvision, torchaudio and CUDA.
.venv/ready: pyproject.toml tests/peers.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q $(TORCH)
	$(BIN)/python -m pip install -q -e '.[test]' $(TORCH)
	$(BIN)/python -m pip install -q --no-deps -r tests/peers.txt
	touch $@

.venv/lint: .venv/ready
	$(BIN)/python -m pip install -q -e '.[lint]' $(TORCH)
	touch $@
