"""The PyTorch side of `stdlib_lm`."""
