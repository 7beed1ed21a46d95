"""One machine, no containers: provision the real servers, run them and Heimdex's processes, and the operator's verbs for that."""
