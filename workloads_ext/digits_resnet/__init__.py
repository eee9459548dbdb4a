"""A small ResNet on 8x8 handwritten digits."""

WORKLOAD_CLASS_NAME = "DigitsResNetWorkload"
VARIANTS = {"silu": "DigitsResNetSiluWorkload"}
