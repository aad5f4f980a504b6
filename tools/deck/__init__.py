"""Lecture decks: their text sources, what chapters give them, and the pages that come of it."""
