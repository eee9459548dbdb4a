"""The dry run: a few steps of a submission on the embedded workloads, beside AdamW."""
