"""Strips of digits: masks, CTC's loss, and the word error rate."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import workloads_ext
from tests.workloads.helpers import (
    EVAL,
    TRAIN,
    flatten,
    load,
    logits_of,
    noise,
    to_framework,
    to_numpy,
)
from workloads_ext.strips_conformer.workload import (
    BINS,
    MAX_FRAMES,
    SPACE,
    VOCABULARY,
    edit_distance,
    greedy,
    hidden,
    words,
)

READERS = ("strips_conformer", "strips_deepspeech")
few_letters = st.lists(st.integers(0, 2), max_size=6)


@pytest.fixture(
    scope="module",
    params=[(name, fw) for name in READERS for fw in workloads_ext.FRAMEWORKS],
    ids="-".join,
)
def reader(request):
    return load(*request.param)


@pytest.mark.parametrize(
    ("found", "truth", "distance"),
    [("kitten", "sitting", 3), ("flaw", "lawn", 2), ("abc", "abc", 0), ("ab", "ba", 2)],
)
def test_edit_distance(found, truth, distance):
    """The error rate would not count insertions, deletions and replacements."""
    assert edit_distance([*found], [*truth]) == distance


@given(few_letters, few_letters, few_letters)
def test_edit_distance_is_a_distance(a, b, c):
    """The error rate would depend on which of two readings is the true one."""
    assert edit_distance(a, []) == edit_distance([], a) == len(a)
    assert (edit_distance(a, b) == 0) == (a == b)
    assert edit_distance(a, b) == edit_distance(b, a)
    assert edit_distance(a, c) <= edit_distance(a, b) + edit_distance(b, c)
    assert edit_distance(a, b) >= abs(len(a) - len(b))


@pytest.mark.parametrize(
    ("tokens", "labels"),
    [
        ([], []),
        ([0, 0, 0], []),
        ([1, 1, 1], [1]),
        ([0, 1, 1, 0, 1, 2, 2, 0], [1, 1, 2]),
        ([5, SPACE, SPACE, 0, 5], [5, SPACE, 5]),
    ],
)
def test_greedy_merges_repeats_and_drops_blanks(tokens, labels):
    """A digit that fills several frames would be read several times."""
    assert greedy(np.array(tokens, int)) == labels


def test_words():
    """Spaces at the ends, or two at once, would be words."""
    assert words([SPACE, 1, 2, SPACE, SPACE, 3, SPACE]) == [(1, 2), (3,)]
    assert words([SPACE]) == words([]) == []


def test_word_error_rate():
    """The metric would count frames or labels beyond the last, or padding."""
    pytest.importorskip("torch")
    workload = load("strips_conformer", "pytorch").workload
    rows = {
        # A word is right; a word is wrong and one too many; the last row is padding.
        "tokens": [[1, 1, 0, 2, SPACE, 9], [3, SPACE, 4, SPACE, 5, 0], [7] * 6],
        "n_frames": [4, 6, 0],
        "labels": [[1, 2, SPACE, 9], [3, SPACE, 6, 8], [0] * 4],
        "n_labels": [2, 3, 0],
    }
    found = workload._metrics({"ctc_loss": 1.0}, {k: np.array(rows[k]) for k in rows})
    assert found == {"ctc_loss": 1.0, "wer": 2 / 3}


@pytest.mark.parametrize("framework", workloads_ext.FRAMEWORKS)
def test_labels_that_cannot_fit_have_no_loss(framework):
    """One strip that is too short for its labels would end training."""
    workload = load("strips_conformer", framework).workload
    logits = 3 * noise(np.zeros((4, 5, VOCABULARY)))
    labels = {
        "labels": np.array([[1, 2, 3], [1, 1, 1], [4, 4, 4], [1, 2, 3]]),
        "n_labels": np.array([3, 3, 3, 3]),
    }
    n_frames = np.array([5, 5, 4, 2])  # the last two would need five and three

    def place(array):
        return to_framework(array, framework)

    labels = {name: place(array.astype(np.int32)) for name, array in labels.items()}
    n_frames = place(n_frames.astype(np.int32))

    def loss(logits):
        outputs = {"logits": logits, "n_frames": n_frames}
        found = workload.loss_fn(labels, outputs)
        return found["summed"], found["per_example"]

    if framework == "jax":
        import jax

        (_, losses), grads = jax.value_and_grad(loss, has_aux=True)(place(logits))
    else:
        logits = place(logits).requires_grad_()
        total, losses = loss(logits)
        total.backward()
        grads = logits.grad
    losses, grads = to_numpy(losses), to_numpy(grads)
    np.testing.assert_array_equal(losses > 0, [True, True, False, False])
    assert np.isfinite(grads).all()
    assert grads[:2].any()
    assert not grads[2:].any()
    np.testing.assert_allclose(grads.sum(-1), 0, atol=1e-5)  # of a softmax


def test_what_comes_after_the_last_frame_does_not_matter(reader, data_dir):
    """Padding would be read, or enter the statistics of batch norm."""
    batch = next(reader.queue("train", data_dir))
    n_frames = to_numpy(batch["inputs"]["n_frames"])
    is_after = np.arange(MAX_FRAMES) > n_frames[:, None]  # a convolution sees the next
    assert is_after.any(1).sum() > 4

    def fill(arrays):
        arrays["inputs"]["frames"][is_after] = 9

    filled = reader.edited(batch, fill)
    for mode in (TRAIN, EVAL):
        options = (mode, mode == TRAIN)
        (before, state), (after, other) = (
            statistics_and_outputs(reader.copy(), each, *options)
            for each in (batch, filled)
        )
        np.testing.assert_array_equal(before["n_frames"], -(-n_frames // 4))
        frames = np.arange(before["logits"].shape[1])
        valid = frames < before["n_frames"][:, None]
        np.testing.assert_allclose(
            before["logits"][valid], after["logits"][valid], atol=1e-5
        )
        for name, array in state.items():
            np.testing.assert_allclose(array, other[name], atol=1e-6)


def statistics_and_outputs(reader, batch, mode, update):
    """What a forward pass returns, and the statistics of batch norm after it."""
    outputs, state = reader.model(batch, mode, update_batch_norm=update)
    if reader.framework == "jax":
        return outputs, {k: to_numpy(v) for k, v in flatten(state).items()}
    buffers = reader.params.named_buffers()
    return outputs, {name: to_numpy(buffer) for name, buffer in buffers}


def test_all_valid_frames_are_seen(reader, data_dir):
    """Masks would hide frames that are there, or LSTMs run in one direction only."""
    batch = next(reader.queue("validation", data_dir))
    before = logits_of(reader.model(batch, EVAL)[0])
    middle = to_numpy(batch["inputs"]["n_frames"]) // 2
    rows = np.arange(8)

    def change(arrays):
        arrays["inputs"]["frames"][rows, middle] += 5

    after = logits_of(reader.model(reader.edited(batch, change), EVAL)[0])
    for step in (-3, 3):  # where the convolutions of frames alone do not reach
        seen_by = middle // 4 + step
        assert (before[rows, seen_by] != after[rows, seen_by]).any(1).all()


@pytest.mark.parametrize("framework", workloads_ext.FRAMEWORKS)
def test_only_frames_that_are_there_are_reversed(framework):
    """The LSTM that reads backwards would start in the padding."""
    load("strips_deepspeech", framework)
    package = f"workloads_ext.strips_deepspeech.strips_deepspeech_{framework}"
    module = __import__(f"{package}.workload", fromlist=["_reversed"])
    x = np.arange(15, dtype=np.float32).reshape(3, 5, 1)
    arguments = (to_framework(a, framework) for a in (x, np.array([3, 5, 0])))
    found = to_numpy(module._reversed(*arguments))[..., 0]
    expected = [[2, 1, 0, 3, 4], [9, 8, 7, 6, 5], [10, 11, 12, 13, 14]]
    np.testing.assert_array_equal(found, expected)


def test_lstm_is_that_of_torch():
    """Gates would be in another order, or a bias be left out."""
    torch = pytest.importorskip("torch")
    loaded = load("strips_deepspeech", "pytorch")
    ours = loaded.params.lstms[0].forwards
    theirs = torch.nn.LSTM(ours.ih.in_features, ours.width, batch_first=True)
    theirs.weight_ih_l0, theirs.weight_hh_l0 = ours.ih.weight, ours.hh.weight
    theirs.bias_ih_l0, theirs.bias_hh_l0 = ours.ih.bias, ours.hh.bias
    with torch.no_grad():
        for bias, value in ((ours.ih.bias, 0.3), (ours.hh.bias, -0.7)):
            bias.copy_(value * torch.arange(len(bias)) / len(bias))
        x = torch.from_numpy(noise(np.zeros((2, 7, ours.ih.in_features)))).to(bias)
        torch.testing.assert_close(ours(x), theirs.to(x)(x)[0])


def test_hidden_frames_and_bins():
    """Training would see strips whole, or lose more of them than it should."""
    rng = np.random.default_rng(0)
    frames = np.ones((500, MAX_FRAMES, BINS))
    shown = hidden(frames, rng)
    assert set(np.unique(shown)) == {0, 1}
    rows, columns = shown.any(2), shown.any(1)
    np.testing.assert_array_equal(shown, rows[..., None] * columns[:, None])
    lost = (~rows).sum(1), (~columns).sum(1)
    # Two blocks each, of up to 12 frames and 4 bins.
    assert 12 < lost[0].max() <= 24
    assert 4 < lost[1].max() <= 8
    assert len({*map(bytes, rows)}) > 400
    assert frames.all()


def test_frames_are_normalised_and_zero_after_the_last(reader, data_dir):
    """The first convolution would see noise after a strip, or grey before it."""
    batch = next(reader.queue("validation", data_dir))
    frames, n_frames = (to_numpy(batch["inputs"][n]) for n in ("frames", "n_frames"))
    is_there = np.arange(MAX_FRAMES) < n_frames[:, None]
    assert not frames[~is_there].any()
    assert abs(frames[is_there].mean()) < 0.2
    assert abs(frames[is_there].std() - 1) < 0.2
