"""Words to scenes."""
