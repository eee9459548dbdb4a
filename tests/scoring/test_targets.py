"""Targets: the directions of metrics, the versions, and which one to score by."""

import json
import math
import os

import numpy as np
import pytest

from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.targets import (
    BENCHMARKS,
    Target,
    choose_benchmark,
    load_benchmark,
)

BASE = {
    "criteo1tb",
    "fastmri",
    "imagenet_resnet",
    "imagenet_vit",
    "librispeech_conformer",
    "librispeech_deepspeech",
    "ogbg",
    "wmt",
}
HELD_OUT = {
    "criteo1tb_embed_init": "criteo1tb",
    "fastmri_tanh": "fastmri",
    "imagenet_resnet_large_bn_init": "imagenet_resnet",
    "librispeech_conformer_layernorm": "librispeech_conformer",
    "ogbg_model_size": "ogbg",
    "wmt_glu_tanh": "wmt",
}


@pytest.fixture
def facts():
    """A targets file that scores one base workload and a variant of it."""
    entry = {"target_metric_name": "wer", "validation_target_value": 0.1}
    return {
        "benchmark_version": "mine",
        "base_workloads": ["speech"],
        "held_out_workloads": ["speech_gelu"],
        "workloads": {"speech": entry, "speech_gelu": entry, "unscored": entry},
    }


def write(tmp_path, facts):
    path = tmp_path / "targets.json"
    path.write_text(facts if isinstance(facts, str) else json.dumps(facts))
    return path


@pytest.mark.parametrize("metric", ["loss", "ctc_loss", "wer", "ppl", "error_rate"])
def test_lower_is_better(metric):
    """A run would hit a loss, error rate or perplexity from its first evaluation."""
    reached = Target(metric, 0.5).reached(np.array([0.6, 0.5, 0.4, np.nan, np.inf]))
    assert reached.tolist() == [False, True, True, False, False]


@pytest.mark.parametrize(
    "metric", ["accuracy", "bleu", "ssim", "mean_average_precision"]
)
def test_higher_is_better(metric):
    """A run would hit an accuracy or BLEU from its first evaluation."""
    reached = Target(metric, 0.5).reached(np.array([0.4, 0.5, 0.6, np.nan]))
    assert reached.tolist() == [False, True, True, False]


def test_official_versions():
    """A workload or target missing from the package data would move every score."""
    v05, v06 = (load_benchmark(BENCHMARKS[version]) for version in ("0.5", "0.6"))
    assert set(v05.base) == set(v06.base) == BASE
    assert v05.held_out == HELD_OUT
    assert v06.held_out == {}
    for version in (v05, v06):
        assert version.targets["criteo1tb"].value == 0.123735
        assert version.targets["librispeech_deepspeech"].metric == "wer"
    assert v05.targets["fastmri"].max_allowed_runtime_sec == 8859
    assert v06.targets["fastmri"].max_allowed_runtime_sec == 4430


@pytest.mark.parametrize(
    ("workloads", "version"),
    [
        (["fastmri"], "0.6"),
        (["fastmri", "fastmri_tanh"], "0.5"),
        (sorted(BASE), "0.6"),
        (["fastmri", "finewebedu_lm"], "rolling"),
        (["fastmri", "mnist"], "0.6"),
        (["mnist"], "ext"),
    ],
)
def test_auto(workloads, version):
    """Logs would be scored by a version that lacks some of their workloads."""
    assert choose_benchmark("auto", workloads).version == version


def test_auto_prefers_ext():
    """Logs of the embedded workloads would not find their own targets."""
    ext = load_benchmark(BENCHMARKS["ext"])
    assert choose_benchmark("auto", ext.workloads) == ext
    assert choose_benchmark("ext", ext.workloads[:1]) == ext


def test_targets_file(tmp_path, facts):
    """A user's own targets would need a change of the package."""
    benchmark = choose_benchmark(str(write(tmp_path, facts)), ["speech"])
    assert benchmark.workloads == ("speech", "speech_gelu")
    assert benchmark.held_out == {"speech_gelu": "speech"}
    assert np.isnan(benchmark.targets["speech"].max_allowed_runtime_sec)


def test_variant_of_the_longest_base_name(tmp_path, facts):
    """A variant would decide about another workload whose name is shorter."""
    facts["base_workloads"].append("speech_long")
    facts["held_out_workloads"].append("speech_long_gelu")
    for workload in ("speech_long", "speech_long_gelu"):
        facts["workloads"][workload] = facts["workloads"]["speech"]
    held_out = load_benchmark(write(tmp_path, facts)).held_out
    assert held_out == {"speech_gelu": "speech", "speech_long_gelu": "speech_long"}


@pytest.mark.parametrize(
    ("name", "workloads", "message"),
    [
        ("auto", ["fastmri_tanh", "digits_resnet"], "^No one benchmark scores all of"),
        ("0.7", ["fastmri"], r"^Unknown benchmark '0.7': choose from auto, ext, 0.6"),
        ("0.6", ["digits_resnet"], r"^Benchmark 0.6 scores none .*\(digits_resnet\)"),
    ],
)
def test_no_benchmark(name, workloads, message):
    """The user would not learn which names are valid."""
    with pytest.raises(UserError, match=message):
        choose_benchmark(name, workloads)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["base_workloads"], None, "'base_workloads' missing"),
        (["workloads", "speech"], None, "'speech' missing"),
        (["workloads", "speech", "validation_target_value"], "low", "is 'low'"),
        (["workloads", "speech", "target_metric_name"], "fid", "unknown metric 'fid'"),
        (["held_out_workloads"], ["other_gelu"], "extends no base workload"),
        (["workloads"], [], "list indices"),
        (["workloads", "speech", "step_hint"], "few", "step_hint of speech is 'few'"),
        (["workloads", "speech"], 8, "not a mapping"),
        (["workloads", "speech", "target_metric_name"], ["wer"], "unhashable"),
        (["workloads", "speech", "target_metric_name"], "a\x1b[31m", r"'a\\x1b"),
        (["workloads", "speech", "validation_target_value"], True, "is True"),
        (["workloads", "speech", "validation_target_value"], 10**400, "is 1000"),
        (
            ["workloads", "speech", "validation_target_value"],
            math.nan,
            "missing or NaN",
        ),
        (["workloads", "speech", "validation_target_value"], math.inf, "is inf"),
        (["run_settings"], {"speech": {"max_allowed_runtime_sec": -1}}, "is -1"),
        (["run_settings"], {"speech": 8}, "not a mapping"),
        (["base_workloads"], "speech", "must be lists"),
        (["notes"], "one", "must be lists"),
        (["base_workloads"], ["speech", "speech"], "lists a workload twice"),
        (["base_workloads"], [["speech"]], "unhashable"),
    ],
)
def test_bad_targets_file(tmp_path, facts, path, value, message):
    """A slip in a targets file would be a traceback, or a wrong score."""
    *parents, last = path
    entry = json.loads(json.dumps(facts))
    root = entry
    for key in parents:
        entry = entry[key]
    if value is None:
        del entry[last]
    else:
        entry[last] = value
    file = write(tmp_path, root)
    with pytest.raises(UserError, match=rf"^{file} is not a targets file: .*{message}"):
        load_benchmark(file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not a JSON file"),
        ("{", "is not a JSON file"),
        ("\0", "is not a JSON file"),
        ("[8]", "is not a targets file"),
        ("8", "is not a targets file"),
        ("9" * 5000, "is not a JSON file"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a": 1, "a": 2}', "twice"),
    ],
)
def test_targets_file_is_another(tmp_path, text, message):
    """A file of another kind would be a traceback."""
    with pytest.raises(UserError, match=message):
        load_benchmark(write(tmp_path, text))


def test_targets_from_a_pipe(tmp_path):
    """A pipe would be waited for for ever."""
    os.mkfifo(tmp_path / "targets.json")
    with pytest.raises(UserError, match="not a regular file"):
        load_benchmark(tmp_path / "targets.json")
    with pytest.raises(UserError, match="Unknown benchmark"):
        choose_benchmark(str(tmp_path / "targets.json"), ["speech"])
