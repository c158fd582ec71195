"""The lessons of the book: each one is ``run(seed, size) -> row`` and claims about the rows."""
