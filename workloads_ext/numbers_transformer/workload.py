"""Numbers from German into English: data, sizes and model settings."""

import hashlib
import re
from typing import Any, ClassVar

import numpy as np

from unscheduled import spec
from workloads_ext.common.data import Batch
from workloads_ext.common.source import ArraysBuilder
from workloads_ext.common.workload import EmbeddedWorkload

SIZES = {"train": 16384, "validation": 512, "test": 512}
PAD, BOS, EOS = 0, 1, 2
SOURCE_LENGTH, TARGET_LENGTH = 64, 20
SOURCE_VOCABULARY = ("", "<s>", "</s>", *" abcdefghijklmnopqrstuvwxyzäöüß")
_UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen "
    "fourteen fifteen sixteen seventeen eighteen nineteen twenty thirty forty fifty "
    "sixty seventy eighty ninety hundred thousand million"
)
_ORDINALS = (
    "zeroth first second third fourth fifth sixth seventh eighth ninth tenth eleventh "
    "twelfth thirteenth fourteenth fifteenth sixteenth seventeenth eighteenth "
    "nineteenth twentieth thirtieth fortieth fiftieth sixtieth seventieth eightieth "
    "ninetieth hundredth thousandth millionth"
)
TARGET_VOCABULARY = (
    *("", "<s>", "</s>", ",", "and", "euro", "cent", "cents"),
    *_UNITS.split(),
    *_ORDINALS.split(),
)
_TYPOS = 0.1  # share of the letters
_KINDS = ("cardinal", "ordinal", "currency")


def split_of_number(number: int) -> str:
    """The split of a number, in whatever words."""
    part = int(hashlib.sha256(str(number).encode()).hexdigest(), 16) % 16
    return {0: "validation", 1: "test"}.get(part, "train")


def _words(number: int, kind: str) -> tuple[list[int], list[int]]:
    """A number as German letters and English words; currency counts in cents."""
    from num2words import num2words  # only when building

    options: Any = {"currency": "EUR"} if kind == "currency" else {}
    value = number / 100 if kind == "currency" else number
    german, english = (
        num2words(value, lang=lang, to=kind, **options).lower() for lang in ("de", "en")
    )
    words = re.findall(r"[a-z]+|,", english)
    return (
        [SOURCE_VOCABULARY.index(letter) for letter in german],
        [TARGET_VOCABULARY.index(word) for word in words],
    )


def _with_typos(letters: list[int], rng: np.random.RandomState) -> list[int]:
    """The letters, of which some are others."""
    others = rng.randint(
        SOURCE_VOCABULARY.index("a"), len(SOURCE_VOCABULARY), len(letters)
    )
    is_typo = rng.uniform(size=len(letters)) < _TYPOS
    return [
        int(other) if typo else letter
        for letter, other, typo in zip(letters, others, is_typo, strict=True)
    ]


def _padded(tokens: list[int], length: int) -> np.ndarray:
    """Tokens with the end mark, and PAD up to the length."""
    assert len(tokens) < length, tokens
    return np.array([*tokens, EOS] + [PAD] * (length - len(tokens) - 1), np.int32)


class Numbers(ArraysBuilder):
    """Cardinal and ordinal numbers and sums of money; a number is in one split.

    Features: German letters, and the English words.
    """

    shapes: ClassVar = {
        "german": ((SOURCE_LENGTH,), np.int32),
        "english": ((TARGET_LENGTH,), np.int32),
    }

    def arrays(self) -> dict[str, dict[str, np.ndarray]]:
        found: dict[str, dict] = {split: {} for split in SIZES}
        rng = np.random.RandomState(0)  # its stream is the same in every NumPy release
        while any(len(found[split]) < size for split, size in SIZES.items()):
            number = int(10 ** rng.uniform(0, 5))
            kind = _KINDS[rng.randint(len(_KINDS))]
            split = split_of_number(number)
            if len(found[split]) < SIZES[split] and (number, kind) not in found[split]:
                german, english = _words(number, kind)
                found[split][number, kind] = _with_typos(german, rng), english
        return {
            split: {
                "german": np.stack([_padded(g, SOURCE_LENGTH) for g, _ in pairs]),
                "english": np.stack([_padded(e, TARGET_LENGTH) for _, e in pairs]),
            }
            for split, pairs in ((s, found[s].values()) for s in found)
        }


def sentence(tokens: np.ndarray) -> str:
    """The words before the end mark."""
    words = [*tokens.tolist(), EOS]
    return " ".join(TARGET_VOCABULARY[word] for word in words[: words.index(EOS)])


class BaseNumbersTransformerWorkload(EmbeddedWorkload):
    """Mirrors wmt: German letters to English words; the metric is BLEU.

    Inputs are the 'source' and the 'target' as far as it is known, integers (batch,
    length); targets are the words themselves, with weights of 0 after their end.
    Translations take the most probable word each time (the official ones come from a
    beam of four).
    """

    name = "numbers_transformer"
    mirrors = "wmt"
    dataset = Numbers
    sizes = SIZES

    metrics = ("bleu", "accuracy", "loss")
    output_layer = "decoder.head"
    default_dropout_rate = 0.1
    widths = ("width", "mlp")
    model_options: ClassVar = {
        "source_vocabulary": len(SOURCE_VOCABULARY),
        "target_vocabulary": len(TARGET_VOCABULARY),
        "width": 64,
        "num_layers": 2,
        "num_heads": 4,
        "mlp": 128,
    }

    def _make_batch(
        self, examples: dict[str, np.ndarray], rng: np.random.Generator | None
    ) -> Batch:
        del rng
        words = examples["english"]
        known = np.pad(words[:, :-1], ((0, 0), (1, 0)), constant_values=BOS)
        return {
            "inputs": {"source": examples["german"], "target": known},
            "targets": words,
            "weights": (words != PAD).astype(np.float32),
        }

    def loss_fn(
        self, label_batch, logits_batch, mask_batch=None, label_smoothing=0.1
    ) -> dict[str, spec.Tensor]:
        """As in `EmbeddedWorkload`, smoothed where nobody says otherwise, as wmt is."""
        return super().loss_fn(label_batch, logits_batch, mask_batch, label_smoothing)

    def _metrics(
        self, means: dict[str, float], rows: dict[str, np.ndarray]
    ) -> dict[str, float]:
        from sacrebleu import corpus_bleu

        pairs = [
            (sentence(words), sentence(truth))
            for words, truth in zip(rows["words"], rows["targets"], strict=True)
            if truth[0] != PAD
        ]
        found, truths = zip(*pairs, strict=True)
        score = corpus_bleu([*found], [[*truths]], tokenize="none", force=True).score
        return {**means, "bleu": score}


def example_inputs() -> dict[str, np.ndarray]:
    """Inputs of a batch of one, whatever their values."""
    return {
        "source": np.zeros((1, SOURCE_LENGTH), np.int32),
        "target": np.zeros((1, TARGET_LENGTH), np.int32),
    }
