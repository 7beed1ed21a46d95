"""Audio track to mono 16 kHz."""
