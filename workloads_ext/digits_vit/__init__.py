"""A small vision transformer on handwritten digits."""

WORKLOAD_CLASS_NAME = "DigitsVitWorkload"
VARIANTS = {"post_ln": "DigitsVitPostLnWorkload"}
