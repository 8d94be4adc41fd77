"""Measurements that print a table: `python -m bench.<name>`. Nothing here is asserted."""
