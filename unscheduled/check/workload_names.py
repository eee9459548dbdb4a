"""The names of the official workloads, and of those embedded here."""

from typing import Any

from unscheduled.runner import embedded

# algoperf v0.6, and what is on its way there (finewebedu_lm).
BASE_WORKLOADS = (
    "criteo1tb",
    "fastmri",
    "imagenet_resnet",
    "imagenet_vit",
    "librispeech_conformer",
    "librispeech_deepspeech",
    "ogbg",
    "wmt",
)
_OTHERS = ("cifar", "mnist", "finewebedu_lm")
_VARIANTS = {
    "criteo1tb": ("test", "layernorm", "embed_init", "resnet"),
    "fastmri": ("model_size", "tanh", "layernorm"),
    "imagenet_resnet": ("silu", "gelu", "large_bn_init"),
    "imagenet_vit": ("glu", "post_ln", "map"),
    "librispeech_conformer": ("attention_temperature", "layernorm", "gelu"),
    "librispeech_deepspeech": ("tanh", "no_resnet", "norm_and_spec_aug"),
    "ogbg": ("gelu", "silu", "model_size"),
    "wmt": ("post_ln", "attention_temp", "glu_tanh"),
}
_VARIANT_NAMES = tuple(f"{base}_{v}" for base, vs in _VARIANTS.items() for v in vs)


def _without_variants() -> tuple[str, ...]:
    return (*BASE_WORKLOADS, *_OTHERS, *embedded.registry().WORKLOADS)


def is_workload_name(value: Any) -> bool:
    """Whether a value is the name of a workload, whatever the case.

    Example:
      >>> is_workload_name("ImageNet_ResNet"), is_workload_name("resnet")
      (True, False)
    """
    names = (*_without_variants(), *_VARIANT_NAMES)
    return isinstance(value, str) and value.lower() in names


def names_in(text: str) -> list[str]:
    """The base workloads that a text names."""
    lowered = text.lower()
    return [name for name in _without_variants() if name in lowered]
