# Everything is a line or two over tools/; `make help` lists the targets.
PROFILE ?= book
PYTEST_ARGS ?=
RUN := .venv/bin/python
# Files of tests side by side, one process for each core; tests that measure time run alone after
# them. Status 5: the arguments choose no such test.
SIDE_BY_SIDE := -n auto --dist loadfile --no-loadscope-reorder
.PHONY: help env book pdf test serve lab edition links exit-test lock release clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-9s %s\n", $$1, $$2 }' Makefile

env: ## create or update .venv from requirements.lock
	@python=$$(sh tools/find_python.sh) && "$$python" tools/environment.py

book: env ## run the chapters and build the site in _build/html (PROFILE=smoke|book|gpu)
	@$(RUN) tools/build_book.py --profile $(PROFILE)

pdf: book ## print the site as one PDF, into its downloads
	@$(RUN) tools/pdf.py

test: env ## everything: package, laws, notebooks, site in a browser
	@$(RUN) -m pytest $(SIDE_BY_SIDE) -m "not timed" $(PYTEST_ARGS) || [ $$? -eq 5 ]
	@$(RUN) -m pytest -m timed $(PYTEST_ARGS) || [ $$? -eq 5 ]

serve: book ## show the site on localhost
	@$(RUN) tools/serve.py

lab: env ## open the notebooks in JupyterLab
	@.venv/bin/jupyter lab notebooks

edition: env ## rewrite notebooks/*.ipynb from the sources
	@$(RUN) tools/jupyter_edition.py
	@$(RUN) tools/assignments.py

lock: env ## resolve the newest versions into requirements.lock and environment.yml
	@$(RUN) tools/lock.py

links: book ## ask every address of other hosts that the site and the papers name (PROFILE as for book)
	@$(RUN) tools/links.py

exit-test: book ## build the pages with the newest plain Sphinx, without Jupyter Book
	@$(RUN) tools/plain_sphinx.py --profile $(PROFILE)

release: env ## commit and tag a release: make release VERSION=1.2.0 (RELEASE_ARGS=--dry-run shows it)
	@$(RUN) tools/release.py $(VERSION) $(RELEASE_ARGS)

clean: ## remove what make made, the environments included
	rm -rf _build .venv .venv-colab .venv-sphinx
