"""What the JAX submissions share."""
