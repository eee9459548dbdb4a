"""The embedded runner: the official contract, clock and files, without TensorFlow."""
