"""A submission as a folder for a pull request."""
