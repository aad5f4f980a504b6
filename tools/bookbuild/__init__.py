"""How the book is built: execute the chapters, stage the pages, run Sphinx, swap the site."""
