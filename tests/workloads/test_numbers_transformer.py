"""Numbers from German into English: masks, translations and their score."""

import numpy as np
import pytest

import workloads_ext
from tests.workloads import references
from tests.workloads.helpers import (
    EVAL,
    batches,
    load,
    map_arrays,
    noise,
    read_all,
    to_framework,
    to_numpy,
    twins_of,
)
from workloads_ext.numbers_transformer import workload as numbers
from workloads_ext.numbers_transformer.workload import BOS, EOS, PAD, TARGET_LENGTH


@pytest.fixture(scope="module", params=workloads_ext.FRAMEWORKS)
def translator(request):
    return load("numbers_transformer", request.param)


def test_a_word_is_not_seen_before_its_turn(translator, data_dir):
    """The model would be given the words that it has to find."""
    batch = next(translator.queue("validation", data_dir))
    before, _ = translator.model(batch, EVAL)
    for first in (1, 10, 19):

        def change(arrays, first=first):
            words = arrays["inputs"]["target"]
            words[:, first:] = (words[:, first:] + 3) % len(numbers.TARGET_VOCABULARY)

        after, _ = translator.model(translator.edited(batch, change), EVAL)
        np.testing.assert_allclose(before[:, :first], after[:, :first], atol=1e-5)
        assert (np.abs(before - after)[:, first:].max(-1) > 1e-3).all()


def test_letters_after_the_end_do_not_matter(translator, data_dir):
    """Padding would be read as letters, in the encoder or in the decoder."""
    batch = next(translator.queue("validation", data_dir))
    source = to_numpy(batch["inputs"]["source"])
    assert (source == PAD).any(1).all()
    before, _ = translator.model(batch, EVAL)

    def change(table):
        table = table.copy()
        table[PAD] = 9 + noise(table[PAD])
        return table

    after, _ = translator.with_layer("encoder.embed", change).model(batch, EVAL)
    np.testing.assert_allclose(before, after, atol=1e-5)

    def shorten(arrays):
        rows = np.arange(len(source))
        arrays["inputs"]["source"][rows, (source != PAD).sum(1) - 1] = PAD

    after, _ = translator.model(translator.edited(batch, shorten), EVAL)
    assert (np.abs(before - after).max((1, 2)) > 1e-5).all()


def translation(loaded, batch):
    """The words that evaluation finds."""
    _, rows = loaded.workload._evaluate(loaded.params, None, batch)
    return to_numpy(rows["words"])


def test_translations_are_greedy_and_the_same_in_both_frameworks(data_dir):
    """Translations would not be what the model finds most probable word by word."""
    twins = twins_of("numbers_transformer")
    found = []
    for twin, batch in zip(twins, batches(twins, data_dir, "validation"), strict=True):
        words = translation(twin, batch)
        assert words.shape == (8, TARGET_LENGTH)

        def teach(arrays, words=words):
            known = np.pad(words[:, :-1], ((0, 0), (1, 0)), constant_values=BOS)
            arrays["inputs"]["target"][:] = known

        logits, _ = twin.model(twin.edited(batch, teach), EVAL)
        np.testing.assert_array_equal(words, logits.argmax(-1))
        found.append(words)
    np.testing.assert_array_equal(*found)
    assert len({*map(bytes, found[0])}) > 1


def bleu(words, targets):
    workload = load("numbers_transformer", "pytorch").workload
    return workload._metrics({}, {"words": words, "targets": targets})["bleu"]


def tokens(*sentences):
    rows = [[numbers.TARGET_VOCABULARY.index(w) for w in s.split()] for s in sentences]
    return np.stack([numbers._padded(row, TARGET_LENGTH) for row in rows])


def test_bleu(data_dir):
    """The metric would not be BLEU, or count what follows the end or pads a batch."""
    pytest.importorskip("torch")
    truth = read_all("numbers_transformer", "test", data_dir)["english"]
    assert bleu(truth, truth) == pytest.approx(100)
    after = truth.copy()
    after[np.cumsum(truth == EOS, axis=1) - (truth == EOS) > 0] = 9
    assert bleu(after, truth) == pytest.approx(100)
    padding = np.zeros((3, TARGET_LENGTH), int)
    padded = np.concatenate([truth, padding])
    assert bleu(np.concatenate([truth, padding + 9]), padded) == pytest.approx(100)
    # Papineni et al. (2002): 4 of 5 words, 3 of 4 pairs, 2 of 3 triples, 1 of 2.
    found = bleu(
        tokens("one hundred and twenty six"), tokens("one hundred and twenty five")
    )
    assert found == pytest.approx(100 * (4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25)
    # No error, but a word short: the penalty for brevity.
    found = bleu(tokens("one hundred and twenty"), tokens("one hundred and twenty six"))
    assert found == pytest.approx(100 * np.exp(1 - 5 / 4))


def test_words_are_those_of_the_number():
    """Translations would be of other numbers, or of another currency."""
    pytest.importorskip("num2words")
    for number, kind, german, english in (
        (121, "cardinal", "einhunderteinundzwanzig", "one hundred and twenty one"),
        (3, "ordinal", "dritte", "third"),
        (250, "currency", "zwei euro und fünfzig cent", "two euro , fifty cents"),
    ):
        letters, words = numbers._words(number, kind)
        assert "".join(numbers.SOURCE_VOCABULARY[i] for i in letters) == german
        assert numbers.sentence(np.array(words)) == english


def test_one_letter_in_ten_is_another():
    """The task would be to read what is spelt right, which is no task."""
    rng = np.random.RandomState(0)
    letters = [*range(3, 3 + 30)] * 100
    typed = np.array(numbers._with_typos(letters, rng))
    assert (typed != letters).mean() == pytest.approx(0.1, abs=0.02)


def test_targets_are_the_words_after_those_known(translator, data_dir):
    """The model would learn to repeat words, or that padding follows padding."""
    arrays = map_arrays(to_numpy, next(translator.queue("train", data_dir)))
    np.testing.assert_array_equal(arrays["weights"], arrays["targets"] != PAD)
    assert (arrays["inputs"]["target"][:, 0] == BOS).all()
    known = arrays["inputs"]["target"][:, 1:]
    np.testing.assert_array_equal(known, arrays["targets"][:, :-1])


def test_labels_are_smoothed_as_those_of_wmt(translator):
    """A default of 0, where entries leave smoothing to the workload."""
    labels = np.full((2, 3), 4)
    logits = np.random.default_rng(0).standard_normal((2, 3, 50)).astype(np.float32)
    arrays = (to_framework(array, translator.framework) for array in (labels, logits))
    loss = to_numpy(translator.workload.loss_fn(*arrays)["summed"])
    expected = references.losses("wmt", labels, logits, 0.1).sum()
    assert loss == pytest.approx(expected, rel=1e-5)
