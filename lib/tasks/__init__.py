"""The tasks: each folder is one, described by the `TASK` of its task.py."""
