"""What all submissions share."""

LOG_EVERY_STEPS = 100
RECENT_BATCHES = 8  # that batch-norm statistics are taken from before an evaluation
