"""Videos for tests: made when a test needs them, good ones and bad ones."""
