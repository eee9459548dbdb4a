"""The embedded data sets: TFDS builders that need neither network nor TensorFlow."""
