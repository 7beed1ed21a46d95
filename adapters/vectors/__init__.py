"""Vectors: scenes by cosine, on Milvus, in memory, and in batches."""
