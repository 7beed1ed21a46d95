"""Interceptors: what surrounds every call: trace and metrics, errors, identity, admission, deadline."""
