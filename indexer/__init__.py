"""Indexer: what the stages found -> rows that can be searched, and searches over them."""
