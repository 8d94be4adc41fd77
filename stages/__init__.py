"""The five stages, each a script: `python -m stages.<stage> configs/STUDY.yaml`."""
