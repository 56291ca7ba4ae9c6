# The whole set-up is `make run` or `make test`: both need only Python 3.11+ and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.synced
DATA ?= data

.PHONY: run test test-adapters test-image test-openwebui test-vllm check format bench bench-answers bench-retrieval bench-paragraphs \
	bench-embedder bench-store bench-indexing bench-indexing-peers bench-start bench-edits \
	bench-kills bench-watch bench-sync bench-scale bench-upserts bench-memory bench-model-calls \
	bench-tokens bench-agentic bench-injection lock help

help: ## Show what can be made.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

run: $(STAMP) ## Start the service and Phoenix; answers from docs/ at http://127.0.0.1:8000.
	@exec $(BIN)/tandem serve --phoenix

test: $(STAMP) ## Run every test that needs no language model server.
	$(BIN)/pytest -m "not vllm and not image" -n 4 --dist loadfile $(ARGS)

test-vllm: $(STAMP) ## Run the tests against a real vLLM on the CPU, in an environment of its own.
	sh tests/vllm/install.sh
	$(BIN)/pytest -m vllm tests/vllm $(ARGS)

test-image: $(STAMP) ## Run the steps of deploy/Dockerfile in a clean folder, and what comes of them.
	$(BIN)/pytest -m image tests/e2e/test_image.py $(ARGS)

test-adapters: $(STAMP) ## Run a LangGraph agent of langchain-mcp-adapters, in an environment of its own.
	sh tests/adapters/install.sh
	$(BIN)/pytest tests/adapters $(ARGS)

test-openwebui: $(STAMP) ## Ask through a real Open WebUI in a browser, in an environment of its own.
	UV="$(UV)" sh tests/openwebui/install.sh
	$(BIN)/pytest tests/openwebui $(ARGS)

check: $(STAMP) ## Format, lint, types, unit tests.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest -q tests/unit

format: $(STAMP) ## Format the code and mend what the linter can mend.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench-answers: $(STAMP) ## Answer quality of the extractive reader: DATA=folder with articles/, questions.jsonl.
	@$(BIN)/python -m benchmarks.answers --data $(DATA)

bench-retrieval: $(STAMP) ## nDCG and recall of dense, BM25 and hybrid: DATA=folder in the BEIR layout.
	@$(BIN)/python -m benchmarks.retrieval --data $(DATA)

bench-paragraphs: $(STAMP) ## Gold paragraph among the first five: DATA=folder with articles/, questions.jsonl.
	@$(BIN)/python -m benchmarks.paragraphs --data $(DATA)

bench-store: $(STAMP) ## Embedded store against qdrant_client's local mode.
	@$(BIN)/python -m benchmarks.edge_store

bench-indexing: $(STAMP) ## Indexing end to end against the bare embedder: DATA=folder of files.
	@$(BIN)/python -m benchmarks.indexing --data $(DATA)

bench-edits: $(STAMP) ## Texts embedded after edits over the fewest possible: DATA=folder of Markdown.
	@$(BIN)/python -m benchmarks.edits --data $(DATA)

bench-kills: $(STAMP) ## Kill the indexer at random moments and compare index and folder: KILLS=300.
	@$(BIN)/python -m benchmarks.kills --kills $(or $(KILLS),300)

bench-watch: $(STAMP) ## From saving a file to finding its text: DATA=folder of files.
	@$(BIN)/python -m benchmarks.watching --data $(DATA)

bench-start: $(STAMP) ## Time from `tandem ask` to its first words.
	@$(BIN)/python -m benchmarks.cold_start

bench-embedder: $(STAMP) ## Embedder against sentence-transformers: DATA=folder, PEER=python that has it.
	@$(BIN)/python -m benchmarks.embedder --data $(DATA) --peer-python $(PEER)

bench-model-calls: $(STAMP) ## Our own processor time for grading and answering, beside ChatOpenAI and httpx.
	@$(BIN)/python -m benchmarks.model_calls

bench-tokens: $(STAMP) ## Our own processor time for each streamed token, beside ChatOpenAI in LangGraph.
	@$(BIN)/python -m benchmarks.token_events

bench-agentic: $(STAMP) ## The agentic loop's cost beside its peers, at a simulated 8B and a real vLLM; PEERS=python.
	@$(BIN)/python -m benchmarks.agentic $(if $(PEERS),--peers $(PEERS)) $(ARGS)

bench-injection: $(STAMP) ## Injection attacks through retrieval to the prompt: DATA=folder with BIPIA's files.
	@$(BIN)/python -m benchmarks.injection --data $(DATA)

bench-serving: $(STAMP) ## Streaming beside the stock stack, 200 people at once, and the start: ARGS="--minutes 10".
	@$(BIN)/python -m benchmarks.serving $(ARGS)

bench-serving-long: $(STAMP) ## 200 people at once for an hour: what fails, and what memory does.
	@$(BIN)/python -m benchmarks.serving --only people --minutes 60 $(ARGS)

bench: bench-store bench-start ## The benchmarks that need no data and no other environment.

bench-indexing-peers: $(STAMP) ## Indexing beside three frameworks: DATA=folder of text, PEERS=python that has them.
	@$(BIN)/python -m benchmarks.indexing_peers --data $(DATA) --peers $(PEERS) $(ARGS)

bench-sync: $(STAMP) ## A sync with nothing to do: DATA=folder, or ARGS="--make 38000"; PEERS=python.
	@$(BIN)/python -m benchmarks.noop_sync $(if $(findstring --make,$(ARGS)),,--data $(DATA)) \
		$(if $(PEERS),--peer $(PEERS)) $(ARGS)

bench-scale: $(STAMP) ## The embedded store at 100,000 passages: DATA=folder of documents.
	@$(BIN)/python -m benchmarks.scale --data $(DATA) $(ARGS)

bench-upserts: $(STAMP) ## Upserts into a full and an empty store in turn: DATA=folder of documents.
	@$(BIN)/python -m benchmarks.upserts --data $(DATA) $(ARGS)

bench-memory: $(STAMP) ## Memory while ever larger corpora are indexed.
	@$(BIN)/python -m benchmarks.memory $(ARGS)

lock: ## Compile requirements.lock anew.
	$(UV) pip compile pyproject.toml --universal --all-extras --generate-hashes --quiet -o requirements.lock

# uv: the one on the path, or else one of our own beside the environment.
UV := $(shell command -v uv 2>/dev/null || echo $(VENV)-uv/bin/uv)

$(VENV)-uv/bin/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Tandem needs Python 3.11 or newer; $(PYTHON) is older. Set PYTHON=python3.12, say."; exit 1; }
	$(PYTHON) -m venv $(VENV)-uv
	$(VENV)-uv/bin/python -m pip install --quiet --disable-pip-version-check 'uv>=0.9'

$(STAMP): requirements.lock pyproject.toml $(filter $(VENV)-uv/%,$(UV))
	@test -d $(BIN) || $(UV) venv --quiet --python $(PYTHON) $(VENV)
	@echo "Installing Tandem's packages into $(VENV) ..."
	@VIRTUAL_ENV=$(VENV) $(UV) pip sync --quiet --compile-bytecode requirements.lock
	@VIRTUAL_ENV=$(VENV) $(UV) pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
