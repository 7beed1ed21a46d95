"""One machine, no containers: real servers provisioned, everything run and watched, and the operator's verbs."""
