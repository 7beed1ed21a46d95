"""How Heimdex is run."""
