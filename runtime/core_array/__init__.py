"""A core array in place of one: machine descriptions, functional and timed simulation."""
