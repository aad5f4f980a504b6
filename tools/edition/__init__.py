"""The Jupyter edition: a chapter's source as a notebook that needs no Sphinx to read well."""
