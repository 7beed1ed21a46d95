"""Models: the ports of ``contracts.ports`` by task and runtime; ``profiles`` is the table of what serves what."""
