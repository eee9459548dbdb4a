"""The frameworks that submissions are written in."""

# As the runner calls them, and as submission_info.yml spells them.
SPELLINGS = {"jax": "JAX", "pytorch": "PyTorch"}
FRAMEWORKS = tuple(SPELLINGS)
