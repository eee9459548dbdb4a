"""What a trial ran on, and whether its times compare with published ones."""

import json
import os

import pytest

from unscheduled.scoring.hardware import gpus, hardware_notes, newest
from unscheduled.scoring.logs import read_logs
from unscheduled.scoring.published import load_published

from .trees import write_log

V100 = {"gpu_model_name": "Tesla V100-SXM2-16GB", "gpu_count": 8}


def put(folder, name, facts):
    text = facts if isinstance(facts, str | bytes) else json.dumps(facts)
    (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)


def notes(root, *files):
    """What is said of one trial for each of `files`, its (meta data, flags)."""
    for number, (meta, flags) in enumerate(files, 1):
        folder = write_log(root, "1,1,0.5", trial=number).parent
        put(folder, "meta_data_0.json", meta)
        put(folder, "flags_0.json", flags)
    return hardware_notes(read_logs([root]).trials, load_published("0.5", "self"))


def test_same(tmp_path):
    """Runs on the published hardware would be warned of."""
    said, wrong = notes(tmp_path, (V100, {"tuning_ruleset": "self"}), (V100, {}))
    assert said[0].startswith("The published runs had 8 x Tesla V100-SXM2-16GB each")
    assert said[1:] == ["The trials in the logs ran on the same."]
    assert wrong == []


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
    said, (wrong,) = notes(tmp_path, ("{", {}))
    assert "(GPUs not recorded)" in said[1]
    assert wrong.rule == "broken_json"


@pytest.mark.parametrize(
    ("meta", "said"),
    [
        ({"gpu_model_name": "V100", "gpu_count": 8}, "8 x V100"),
        ({"gpu_count": 2}, "2 x GPU"),
        ({"cpu_count": 4, "gpu_count": 0}, "no GPU"),
        ({"cpu_model_name": "EPYC"}, "GPUs not recorded"),
        ({"gpu_model_name": "a\nb", "gpu_count": 1}, "1 x a\\nb"),
    ],
)
def test_gpus(tmp_path, meta, said):
    """Times of different hardware would be compared without a warning."""
    put(tmp_path, "meta_data_0.json", meta)
    facts, wrong = newest(tmp_path, "meta_data")
    assert gpus(facts) == said
    assert wrong == []


def test_newest(tmp_path):
    """A run that went on elsewhere would be said to have run where it began."""
    assert newest(tmp_path, "meta_data") == ({}, [])
    for n in (2, 10, 9):
        put(tmp_path, f"meta_data_{n}.json", {"gpu_count": n})
    put(tmp_path, "meta_data_11.json.tmp", {"gpu_count": 11})
    put(tmp_path, "meta_data_x.json", {"gpu_count": 12})
    put(tmp_path, "flags_12.json", {"clock": "steps:0.1"})
    assert newest(tmp_path, "meta_data") == ({"gpu_count": 10}, [])
    assert newest(tmp_path, "flags") == ({"clock": "steps:0.1"}, [])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe\xff",
        b"[1]",
        b"8",
        b"[" * 100_000,
        b'{"gpu_count": 1',
        b'{"gpu_count": 1, "gpu_count": 2}',
        b'{"gpu_count": %b}' % (5000 * b"9"),
        b'{"gpu_count": ' + 900 * b"[" + 900 * b"]" + b"}",
    ],
)
def test_broken_json(tmp_path, content):
    """A file cut off as a machine went down would stop the scoring."""
    put(tmp_path, "meta_data_0.json", content)
    facts, (wrong,) = newest(tmp_path, "meta_data")
    assert facts == {}
    assert (wrong.rule, wrong.path) == ("broken_json", tmp_path / "meta_data_0.json")
    assert str(wrong).isprintable()


@pytest.mark.parametrize("value", ["8", 8.0, True, [8], {"n": 8}, "\x1b[31m"])
def test_broken_count(tmp_path, value):
    """A count that is none would be printed, or compared, as one."""
    put(tmp_path, "meta_data_0.json", {"gpu_count": value, "cpu_count": 4})
    facts, (wrong,) = newest(tmp_path, "meta_data")
    assert facts == {}  # nor is "no GPU" taken from the CPUs beside it
    assert "gpu_count is" in str(wrong)
    assert str(wrong).isprintable()
    assert len(str(wrong)) < len(str(tmp_path)) + 150


@pytest.mark.parametrize("name", ["gpu_model_name", "python_version", "clock"])
@pytest.mark.parametrize("value", [8, ["V100"], {"a": 1}, True])
def test_broken_text(tmp_path, name, value):
    """A fact of another type would be formatted as a text, with a traceback."""
    put(tmp_path, "meta_data_0.json", {name: value, "gpu_count": 1})
    facts, (wrong,) = newest(tmp_path, "meta_data")
    assert facts == {}
    assert wrong.rule == "broken_json"


def test_facts_print(tmp_path):
    """Lines and escapes from a file would be a terminal's, or a page's."""
    facts = {"gpu_model_name": "a\n\x1b[2Jb", "other": "\x1b", "cpu_count": None}
    put(tmp_path, "meta_data_0.json", facts)
    assert newest(tmp_path, "meta_data") == ({"gpu_model_name": r"a\n\x1b[2Jb"}, [])


@pytest.mark.parametrize("goal", ["/dev/zero", "/dev/tty", "gone"])
def test_link_to_no_file(tmp_path, goal):
    """A device in the place of a file would be read without end."""
    (tmp_path / "meta_data_0.json").symlink_to(goal)
    _, (wrong,) = newest(tmp_path, "meta_data")
    assert wrong.rule == "broken_json"


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_no_file(tmp_path, make):
    """A pipe would be waited for for ever, or a folder stop the scoring."""
    make(tmp_path / "flags_0.json")
    _, (wrong,) = newest(tmp_path, "flags")
    assert wrong.what.startswith(("is not a regular file", "can't be read"))
