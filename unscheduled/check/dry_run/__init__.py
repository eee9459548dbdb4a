"""The dry run, as it happens in its own process: `python -m ... '<task as JSON>'`."""
