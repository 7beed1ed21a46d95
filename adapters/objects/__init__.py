"""Objects: adapters of ``contracts.ports.Objects``: S3, memory, and a host-local cache of source videos."""
