"""What all submissions share."""
