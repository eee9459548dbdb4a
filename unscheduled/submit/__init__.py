"""The rule check and the folder for a pull request."""
