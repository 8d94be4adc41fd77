"""Models: loaded, adapted, checked on disk."""
