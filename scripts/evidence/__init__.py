"""What makes the pages of docs/evidence: `python -m scripts.evidence.NAME`."""
