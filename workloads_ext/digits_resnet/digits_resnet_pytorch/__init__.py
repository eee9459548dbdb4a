"""The PyTorch side of `digits_resnet`."""
