# Everything is a line or two over tools/; `make help` lists the targets.
PROFILE ?= book
PYTEST_ARGS ?=
RUN := .venv/bin/python
.PHONY: help env book test serve lab edition lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "%-9s %s\n", $$1, $$2 }' Makefile

env: ## create or update .venv from requirements.lock
	@python=$$(sh tools/find_python.sh) && "$$python" tools/environment.py

book: env ## run the chapters and build the site in _build/html (PROFILE=smoke|book|gpu)
	@$(RUN) tools/build_book.py --profile $(PROFILE)

test: env ## everything: package, laws, notebooks, site in a browser
	@$(RUN) -m pytest $(PYTEST_ARGS)

serve: book ## show the site on localhost
	@$(RUN) tools/serve.py

lab: env ## open the notebooks in JupyterLab
	@.venv/bin/jupyter lab notebooks

edition: env ## rewrite notebooks/*.ipynb from the sources
	@$(RUN) tools/jupyter_edition.py
	@$(RUN) tools/assignments.py

lock: env ## resolve the newest versions into requirements.lock and environment.yml
	@$(RUN) tools/lock.py

clean: ## remove what make made, the environments included
	rm -rf _build .venv .venv-colab
