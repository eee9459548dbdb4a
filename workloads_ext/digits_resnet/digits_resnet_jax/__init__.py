"""The JAX side of `digits_resnet`."""
