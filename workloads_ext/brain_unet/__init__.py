"""A small U-Net that reconstructs slices of a brain."""

WORKLOAD_CLASS_NAME = "BrainUnetWorkload"
VARIANTS = {"model_size": "BrainUnetModelSizeWorkload"}
