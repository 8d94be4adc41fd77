"""Where a run lies: directories, done marks, locks, records, progress."""
