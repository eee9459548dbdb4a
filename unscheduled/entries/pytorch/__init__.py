"""What the PyTorch submissions share."""
