"""What a trial ran on, from the JSON files beside its log."""

import json
import os

import pytest

from unscheduled.scoring.meta_data import Hardware, hardware, newest


def put(folder, name, facts):
    text = facts if isinstance(facts, str | bytes) else json.dumps(facts)
    (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)


@pytest.mark.parametrize(
    ("meta", "expected", "said"),
    [
        ({"gpu_model_name": "V100", "gpu_count": 8}, ("V100", 8), "8 x V100"),
        ({"gpu_count": 2}, (None, 2), "2 x GPU of unknown model"),
        ({"cpu_count": 4}, (None, 0), "no GPU"),
        ({"cpu_count": 4, "gpu_count": 0}, (None, 0), "no GPU"),
        ({"rng_seed": 1}, (None, None), "GPUs not recorded"),
        ({"gpu_model_name": "a\nb", "gpu_count": 1}, ("a\\nb", 1), "1 x a\\nb"),
    ],
)
def test_gpus(tmp_path, meta, expected, said):
    """Times of different hardware would be compared without a warning."""
    put(tmp_path, "meta_data_0.json", meta)
    found, notes = hardware(tmp_path)
    assert (found.gpu_model, found.gpu_count) == expected
    assert str(found) == said
    assert notes == []


def test_flags(tmp_path):
    """Seconds that a clock counted from steps would be taken for measured ones."""
    assert hardware(tmp_path) == (Hardware(), [])
    put(tmp_path, "flags_0.json", {"tuning_ruleset": "external"})
    assert hardware(tmp_path)[0] == Hardware(tuning_ruleset="external")
    put(tmp_path, "flags_0.json", {"clock": "steps:0.1", "tuning_ruleset": "self"})
    found = Hardware(clock="steps:0.1", tuning_ruleset="self")
    assert hardware(tmp_path) == (found, [])


def test_newest(tmp_path):
    """A run that went on elsewhere would be said to have run where it began."""
    for n in (2, 10, 9):
        put(tmp_path, f"meta_data_{n}.json", {"gpu_count": n})
    put(tmp_path, "meta_data_11.json.tmp", {"gpu_count": 11})
    put(tmp_path, "meta_data_x.json", {"gpu_count": 12})
    assert hardware(tmp_path)[0].gpu_count == 10


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
    found, (note,) = hardware(tmp_path)
    assert found == Hardware()
    assert (note.rule, note.path) == ("broken_json", tmp_path / "meta_data_0.json")
    assert str(note).isprintable()


@pytest.mark.parametrize(
    "value", ["8", 8.0, True, -1, [8], {"n": 8}, 10**400, "\x1b[31m"]
)
def test_broken_count(tmp_path, value):
    """A count that is none would be printed, or compared, as one."""
    put(tmp_path, "meta_data_0.json", {"gpu_count": value, "cpu_count": 4})
    found, (note,) = hardware(tmp_path)
    assert found.gpu_count is None
    assert "gpu_count is" in str(note)
    assert str(note).isprintable()
    assert len(str(note)) < len(str(tmp_path)) + 150


@pytest.mark.parametrize(
    "clock", ["", "steps", "steps:", "steps:x", "steps:nan", "steps:1e999", 8, ["wall"]]
)
def test_broken_clock(tmp_path, clock):
    """A clock that is none would stop the bundling, or pass for measured seconds."""
    put(tmp_path, "flags_0.json", {"clock": clock, "tuning_ruleset": "self"})
    found, (note,) = hardware(tmp_path)
    assert found == Hardware()
    assert "clock is" in note.what


@pytest.mark.parametrize("name", ["gpu_model_name", "python_version"])
@pytest.mark.parametrize("value", [8, ["V100"], {"a": 1}, True])
def test_broken_text(tmp_path, name, value):
    """A fact of another type would be formatted as a text, with a traceback."""
    put(tmp_path, "meta_data_0.json", {name: value, "gpu_count": 1})
    facts, (note,) = newest(tmp_path, "meta_data")
    assert facts == {}
    assert note.rule == "broken_json"


def test_facts_print(tmp_path):
    """Lines and escapes from a file would be a terminal's, or a page's."""
    facts = {"gpu_model_name": "a\n\x1b[2Jb", "other": "\x1b", "cpu_count": None}
    put(tmp_path, "meta_data_0.json", facts)
    assert newest(tmp_path, "meta_data") == ({"gpu_model_name": r"a\n\x1b[2Jb"}, [])


@pytest.mark.parametrize("goal", ["/dev/zero", "/dev/tty", "gone"])
def test_link_to_no_file(tmp_path, goal):
    """A device in the place of a file would be read without end."""
    (tmp_path / "meta_data_0.json").symlink_to(goal)
    found, (note,) = hardware(tmp_path)
    assert found == Hardware()
    assert note.rule == "broken_json"


def test_pipe(tmp_path):
    """A pipe in the place of a file would be waited for for ever."""
    os.mkfifo(tmp_path / "flags_0.json")
    assert hardware(tmp_path)[1][0].what == "is not a regular file"


def test_no_files(tmp_path):
    """A folder in the place of a file, or none at all, would stop the scoring."""
    (tmp_path / "meta_data_0.json").mkdir()
    found, (note,) = hardware(tmp_path)
    assert found == Hardware()
    assert note.rule == "broken_json"
    _, notes = hardware(tmp_path / "gone")
    assert [note.rule for note in notes] == ["broken_json", "broken_json"]
