"""Text: scenes by their words, on OpenSearch, in memory, and in batches."""
