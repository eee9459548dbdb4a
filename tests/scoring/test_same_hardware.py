"""Whether logs compare with published times, by the files beside them."""

import json

import pytest

from unscheduled.scoring.logs import read_logs
from unscheduled.scoring.published import load_published
from unscheduled.scoring.same_hardware import hardware_notes

from .trees import write_log

V100 = {"gpu_model_name": "Tesla V100-SXM2-16GB", "gpu_count": 8}


def notes(root, *files):
    """What is said of one trial for each of `files`, its (meta data, flags)."""
    for number, (meta, flags) in enumerate(files, 1):
        folder = write_log(root, "1,1,0.5", trial=number).parent
        for name, facts in (("meta_data_0.json", meta), ("flags_0.json", flags)):
            text = facts if isinstance(facts, str) else json.dumps(facts)
            (folder / name).write_text(text)
    return hardware_notes(read_logs([root]).trials, load_published("0.5", "self"))


def test_same(tmp_path):
    """Runs on the published hardware would be warned of."""
    said, irregular = notes(tmp_path, (V100, {"tuning_ruleset": "self"}), (V100, {}))
    assert said[0].startswith("The published runs had 8 x Tesla V100-SXM2-16GB each")
    assert said[1:] == ["The trials in the logs ran on the same."]
    assert irregular == []


@pytest.mark.parametrize(
    ("meta", "flags", "warning"),
    [
        ({**V100, "gpu_count": 4}, {}, "(4 x Tesla V100-SXM2-16GB)"),
        ({**V100, "gpu_model_name": "H200"}, {}, "(8 x H200)"),
        ({"cpu_count": 2}, {}, "(no GPU)"),
        ({}, {}, "(GPUs not recorded)"),
        (V100, {"clock": "steps:0.05"}, "ran by the clock steps:0.05"),
        (V100, {"tuning_ruleset": "external"}, "made by the ruleset external"),
    ],
)
def test_different(tmp_path, meta, flags, warning):
    """A difference in one of a tree's trials would go unsaid."""
    said, _ = notes(tmp_path, (V100, {}), (meta, flags), (meta, flags))
    assert len(said) == 2
    assert said[1].startswith("Warning: ")
    assert "2 of 3 trials in the logs" in said[1]
    assert warning in said[1]


def test_broken_file(tmp_path):
    """Meta data that can't be read would be taken for none without a word."""
    said, (irregular,) = notes(tmp_path, ("{", {}))
    assert "(GPUs not recorded)" in said[1]
    assert irregular.rule == "broken_json"
