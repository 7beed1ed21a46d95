"""Gateway: gRPC calls of clients -> catalogue, object storage and search, and typed answers."""
