"""The JAX side of `stdlib_lm`."""
