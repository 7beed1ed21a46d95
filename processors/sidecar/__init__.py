"""Everything known of each scene in one record."""
