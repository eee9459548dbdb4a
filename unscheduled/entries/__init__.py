"""What all submissions share."""

LOG_EVERY_STEPS = 100
