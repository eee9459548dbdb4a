"""Whatever is in a submission's folder, check and bundle say it in a finding."""

import contextlib
import os
import random
import re
import time
from types import SimpleNamespace

import pytest

from tests.submit import check_cases as cases
from unscheduled.benchmark.errors import UserError
from unscheduled.bundle.bundle import bundle
from unscheduled.bundle.pull_request import submission_info
from unscheduled.check.check import check_files, framework_of, run

FLAGS = {
    "format": "text",
    "dry_run": False,
    "tuning_ruleset": None,
    "tuning_search_space": None,
    "framework": None,
}
SENT_IN = {"ruleset": "self", "name": "mine", "authors": "A", "affiliations": "B"}
HUGE = f"0x{'f' * 5000}"  # more digits than Python writes out

# Python that a rule might choke on: a name of the case, the code, what is found.
PYTHON = {
    "nested expression": ("x = " + "-" * 5000 + "1", "E101"),
    "nested sum": ("x = " + "+".join(["a"] * 2000), "E101"),
    "nested attribute": ("import torch\ny = torch" + ".a" * 2000, "E101"),
    "nested in a function": (
        "def f(workload):\n    return workload.step_hint == " + "+".join("1" * 2500),
        "E101",
    ),
    "return outside of a function": ("return 1", "E101"),
    "null byte": ("x = 1\0", "E101"),
    "surrogate": ('X = "\\ud800"\nY = {"wmt": "\\ud800"}', "E201"),
    "itself": ("N = 1\nN = N + 1\n\n\ndef f(p):\n    return p.shape == N", None),
    "huge integer": (f"def f(p):\n    return p.shape == {HUGE}", "E204"),
    "huge index": (f"def f(workload):\n    vars(workload)[{HUGE}] = 1", "E403"),
    "huge power": ("RATE = 10**400\n\n\ndef f(p):\n    return p.shape == RATE", "E204"),
    "huge product": ("A = " + "*".join(["100**100"] * 200), None),
    "doubling": (
        "A0 = (1000, 2000)\n"
        + "".join(f"A{n + 1} = (A{n}, A{n})\n" for n in range(60))
        + "\n\ndef f(p):\n    return p.shape == A60",
        None,
    ),
    "unwritable f-string": (
        "def f(model, d):\n    model[f\"{d['\x7f']}\"].x = 1",
        None,
    ),
    "ESC in a name": ("def f(workload):\n    workload.a['\x1b[2J'] = 1", None),
}


def write(folder, code="", **files):
    files = {"submission_info.yml": cases.INFO, **files}
    text = f"{cases.GOOD}\n\n{code}\n"
    (folder / "submission.py").write_text(text, errors="surrogatepass")
    for name, content in files.items():
        path = folder / name
        data = content if isinstance(content, bytes) else content.encode()
        path.write_bytes(data)
    return folder / "submission.py"


@pytest.mark.parametrize(("code", "rule"), PYTHON.values(), ids=PYTHON)
def test_odd_python(tmp_path, capsys, code, rule):
    """Code that ends the check in a traceback, or keeps it busy for ever."""
    submission = write(tmp_path, code)
    found = check_files(submission)
    assert {f.code for f in found} == ({rule} if rule else set())
    assert all(f.path == str(submission) for f in found)
    assert run(SimpleNamespace(**FLAGS), str(tmp_path)) == (1 if rule else 0)
    assert capsys.readouterr().out.replace("\n", "").isprintable()
    with contextlib.suppress(UserError):  # and no other
        bundle(submission, "PyTorch")


def test_line_ends_of_other_systems(tmp_path):
    """Imports cut at the wrong places, where a file has the line ends of old Macs."""
    text = f"{cases.GOOD}\nfrom unscheduled import ranges\nX = ranges\n"
    (tmp_path / "submission.py").write_bytes(text.replace("\n", "\r").encode())
    assert (
        "from . import ranges\nX"
        in bundle(tmp_path / "submission.py", "PyTorch")["submission.py"]
    )


INFOS = {
    "not UTF-8": b"authors: \xff\xfe",
    "a date that is none": b"version: 2025-99-99",
    "aliases": b"a: &a [x, x]\nb: &b [*a, *a]\nversion: [*b, *b]",
    "nested": b"a: " + b"[" * 5000,
    "a list": b"- a",
    "too large": b"# " + b"x" * 100_000,
    "a tag": b"a: !!python/object/apply:os.system [true]",
    "empty": b"",
}


@pytest.mark.parametrize("content", INFOS.values(), ids=INFOS)
def test_an_info_that_cannot_be_read(tmp_path, content):
    """A submission_info.yml that is a traceback, or that is passed over."""
    submission = write(tmp_path, **{"submission_info.yml": content})
    (found,) = check_files(submission)
    assert (found.code, found.path) == ("E503", str(tmp_path / "submission_info.yml"))
    with pytest.raises(UserError, match=r"submission_info\.yml"):
        submission_info(tmp_path, **SENT_IN)


@pytest.mark.parametrize(
    "value", ["[a]", "{a: b}", HUGE, "2025-01-01", "1:1:1", '"\\e["']
)
def test_values_of_other_types(tmp_path, capsys, value):
    """A list for a ruleset, or an integer that Python does not write out."""
    text = re.sub(": .*", lambda _: f": {value}", cases.INFO)
    submission = write(tmp_path, "import torch", **{"submission_info.yml": text})
    found = check_files(submission)
    assert [f.code for f in found] == 2 * ["E503"]  # the ruleset and the framework
    assert framework_of(submission) == "pytorch"
    assert run(SimpleNamespace(**FLAGS), str(tmp_path)) == 1
    assert capsys.readouterr().out.replace("\n", "").isprintable()
    with pytest.raises(UserError, match="framework must be JAX or PyTorch"):
        submission_info(tmp_path, **SENT_IN)


OWN = {
    "submission_info.yml": "E503",
    "requirements.txt": "E502",
    "tuning_search_space.json": "E505",
    "LICENSE": "E504",
    "helper.py": "E101",
}


@pytest.mark.parametrize("kind", ["fifo", "device", "link out", "broken link", "bytes"])
@pytest.mark.parametrize(("name", "rule"), OWN.items(), ids=OWN)
def test_what_is_no_file_of_the_folder(tmp_path, name, rule, kind):
    """A pipe that is waited for, a device read for ever, a file of others' sent in."""
    folder = tmp_path / "mine"
    folder.mkdir()
    submission = write(folder, "import helper")
    path = folder / name
    path.unlink(missing_ok=True)
    (tmp_path / "secret").write_text("x = 1\n")
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "bytes":
        path.write_bytes(b"\xff\xfe\x00")
    else:
        target = {"device": "/dev/zero", "link out": tmp_path / "secret"}
        path.symlink_to(target.get(kind, tmp_path / "nowhere"))
    found = check_files(submission, "external" if "space" in name else None)
    if (name, kind) == ("LICENSE", "fifo") or (
        name == "helper.py" and kind in ("fifo", "device", "broken link")
    ):
        assert found == []  # no module that Python would import, no text to read
        return
    assert [(f.code, f.path) for f in found] == [(rule, str(path))]
    if name in ("requirements.txt", "helper.py"):
        with pytest.raises(UserError, match=name):
            bundle(submission, "PyTorch")


@pytest.mark.parametrize(
    "name", ["unscheduled.py", "a.b.py", "submissions.py", "class.py", "sübmission.py"]
)
def test_files_of_odd_names(tmp_path, name):
    """A submission whose file's name means something else to the check."""
    (tmp_path / name).write_text(cases.GOOD)
    assert [f.code for f in check_files(tmp_path / name)] == ["W502"]


@pytest.mark.parametrize(
    "line",
    [
        "numpy===foo",
        "numpy===2.1",
        "a" * 60_000,
        "x" + ";(" * 20_000,
        "[" * 9_000,
        "é==",
    ],
)
def test_odd_requirements(tmp_path, line):
    """A line that is a traceback of pip's parser."""
    submission = write(tmp_path, **{"requirements.txt": f"# why\n{line}\n"})
    for finding in check_files(submission):
        assert finding.code in ("E501", "E502", "W501")


def test_the_home_of_nobody(capsys):
    """`~nobody/x`, for a submission or a search space, is a traceback."""
    assert run(SimpleNamespace(**FLAGS), "~no_such_user/x") == 1
    assert "~no_such_user/x" in capsys.readouterr().err
    flags = {**FLAGS, "tuning_search_space": "~no_such_user/x.json"}
    assert run(SimpleNamespace(**flags), __file__) == 1
    assert "~no_such_user/x.json" in capsys.readouterr().err


REPEATED = {  # grows with the number; what would take its square, or more
    "functions in a chain": lambda n: "".join(
        f"def f{k}():\n    return f{k + 1}()\n" for k in range(n)
    ),
    "names of licences": lambda n: "# " + "MIT " * (4 * n),
    "statements": lambda n: "a.b\n" * n,
    "imports": lambda n: "".join(f"import a{k}\n" for k in range(n)),
    "sums in a row": lambda n: ("x == " + "+".join("1" * 300) + "\n") * (n // 100),
    "names in get_batch_size": lambda n: (
        "from helper import f\ndef get_batch_size(n):\n" + "    f\n" * n
    ),
}


@pytest.mark.parametrize("make", REPEATED.values(), ids=REPEATED)
def test_work_grows_with_size_and_no_faster(tmp_path, make):
    """A file of a few kilobytes that keeps the check busy for minutes."""
    text = make(4000)
    submission = tmp_path / "submission.py"
    (tmp_path / "helper.py").write_text("def f():\n    pass\n")
    submission.write_text(f"{text}\n{cases.GOOD}" if "#" in text[:1] else text)
    start = time.process_time()
    check_files(submission)
    assert time.process_time() - start < 10  # 0.3 to 2 s where it was measured


@pytest.mark.parametrize("seed", range(20))
def test_damaged_folders(tmp_path, capsys, seed):
    """Bytes changed anywhere in a good submission's files: never a traceback."""
    draw = random.Random(seed)
    space = '[{"a": 1}, {"a": 2}, {"a": 3}, {"a": 4}, {"a": 5}]'
    files = {"requirements.txt": "jax==0.7.0\n", "tuning_search_space.json": space}
    submission = write(tmp_path, "import torch", LICENSE="Apache License", **files)
    for path in tmp_path.iterdir():
        data = bytearray(path.read_bytes())
        for _ in range(draw.randrange(4)):
            place = draw.randrange(len(data))
            data[place : place + draw.randrange(20)] = draw.randbytes(draw.randrange(9))
        path.write_bytes(bytes(data))
    flags = {**FLAGS, "tuning_ruleset": draw.choice(["self", "external"])}
    assert run(SimpleNamespace(**flags), str(tmp_path)) in (0, 1)
    printed = capsys.readouterr()
    assert (printed.out + printed.err).replace("\n", "").isprintable()
    with contextlib.suppress(UserError):  # and no other
        bundle(submission, "PyTorch", tmp_path / "tuning_search_space.json")
