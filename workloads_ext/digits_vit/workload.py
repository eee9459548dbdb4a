"""Digits ViT: data, sizes and model settings, whatever the framework."""

from typing import ClassVar

from workloads_ext.digits_resnet.workload import BaseDigitsResNetWorkload


class BaseDigitsVitWorkload(BaseDigitsResNetWorkload):
    """Mirrors imagenet_vit: the data of `digits_resnet`."""

    name = "digits_vit"
    mirrors = "imagenet_vit"

    output_layer = "head"
    has_batch_norm = False
    default_dropout_rate = 0.0
    widths = ("width", "mlp_width")
    model_options: ClassVar = {
        "num_classes": 10,
        "patch": 4,
        "width": 64,
        "num_layers": 4,
        "num_heads": 4,
        "mlp_width": 128,
        "post_norm": False,
    }


class BaseDigitsVitPostLnWorkload(BaseDigitsVitWorkload):
    """With layer norm after each sum, as imagenet_vit_post_ln."""

    name = "digits_vit_post_ln"
    mirrors = "imagenet_vit_post_ln"
    model_options: ClassVar = {
        **BaseDigitsVitWorkload.model_options,
        "post_norm": True,
    }
