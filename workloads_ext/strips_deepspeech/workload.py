"""Strips of digits read by LSTMs: sizes and model settings."""

from typing import ClassVar

from workloads_ext.strips_conformer.workload import BINS, VOCABULARY, BaseStripsWorkload


class BaseStripsDeepspeechWorkload(BaseStripsWorkload):
    """Mirrors librispeech_deepspeech: the data of `strips_conformer`."""

    name = "strips_deepspeech"
    mirrors = "librispeech_deepspeech"
    widths = ("width",)
    model_options: ClassVar = {
        "bins": BINS,
        "vocabulary": VOCABULARY,
        "width": 48,
        "num_lstms": 2,
        "num_dense": 2,
    }
