"""Schema: model versions -> names of collections and index of a generation."""
