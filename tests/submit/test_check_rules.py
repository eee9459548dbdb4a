"""The rules, each by a case that breaks it and one that only looks like it."""

import json

import pytest

from tests.submit import check_cases as cases
from unscheduled.check.check import check_files
from unscheduled.check.findings import RULES

UNSPECIFIC = {"E101", "E102", "W102", "N602"}  # each has a test of its own


def findings(folder, **changes):
    """What is found in a good submission, changed."""
    text = changes.pop("header", "") + cases.GOOD + "\n\n" + changes.pop("code", "")
    files = {"submission.py": text, "submission_info.yml": cases.INFO}
    for name, content in {**files, **changes.pop("files", {})}.items():
        (folder / name).write_text(content)
    return check_files(folder / "submission.py", **changes)


def codes(folder, **changes):
    return {finding.code for finding in findings(folder, **changes)}


def pairs(table):
    return [pytest.param(code, *pair, id=code) for code, pair in table.items()]


def test_every_rule_has_a_case():
    """A rule that nobody knows to work, or a code that no rule is behind."""
    tables = (cases.CODE, cases.HEADER, cases.REQUIREMENTS, cases.FOLDER)
    tested = {*UNSPECIFIC, *(code for table in tables for code in table)}
    in_dry_run = (found for _, found in cases.BAD_SUBMISSIONS.values())
    assert tested | {code for found in in_dry_run for code in found} == set(RULES)


def test_a_good_submission_is_clean(tmp_path):
    """A rule that everybody breaks."""
    assert findings(tmp_path) == []


@pytest.mark.parametrize(("code", "bad", "good"), pairs(cases.CODE))
def test_code(tmp_path, code, bad, good):
    """A rule on code that misses its case, or that accuses the innocent."""
    assert codes(tmp_path, code=bad) == {code}
    assert codes(tmp_path, code=good) == set()


@pytest.mark.parametrize(("code", "bad", "good"), pairs(cases.HEADER))
def test_header(tmp_path, code, bad, good):
    """Code under another licence that passes, or a comment that does not."""
    assert codes(tmp_path, header=bad) == {code}
    assert codes(tmp_path, header=good) == set()


@pytest.mark.parametrize(("code", "bad", "good"), pairs(cases.REQUIREMENTS))
def test_requirements(tmp_path, code, bad, good):
    """A version that the benchmark does not have, or a needless complaint."""
    assert codes(tmp_path, files={"requirements.txt": bad}) == {code}
    assert codes(tmp_path, files={"requirements.txt": good}) == set()


@pytest.mark.parametrize(("code", "bad", "good"), pairs(cases.FOLDER))
def test_folder(tmp_path, code, bad, good):
    """A folder that a reviewer would send back, or a good one that is refused."""
    (tmp_path / "bad").mkdir()
    (tmp_path / "good").mkdir()
    assert codes(tmp_path / "bad", files=bad) == {code}
    assert codes(tmp_path / "good", files=good) == set()


@pytest.mark.parametrize(
    "name", ["get_batch_size", "update_params", "data_selection"], ids=str
)
def test_a_missing_function(tmp_path, name):
    """A function that the harness looks for in vain, and nobody says so."""
    text = cases.GOOD.replace(f"def {name}(", "def another(")
    (tmp_path / "submission.py").write_text(text)
    (tmp_path / "submission_info.yml").write_text(cases.INFO)
    (missing,) = (
        f for f in check_files(tmp_path / "submission.py") if f.code == "E102"
    )
    assert name in missing.message


def test_prepare_for_eval_may_be_missing(tmp_path):
    """A submission that runs and is refused, or one function that is not missed."""
    text = cases.GOOD.replace("def prepare_for_eval(", "def another(")
    (tmp_path / "submission.py").write_text(text)
    (tmp_path / "submission_info.yml").write_text(cases.INFO)
    found = check_files(tmp_path / "submission.py")
    assert [f.code for f in found] == ["W102"]


def test_what_is_not_python_is_one_finding(tmp_path):
    """A file with a syntax error that is a traceback, or that passes."""
    (found,) = findings(tmp_path, code="return batch'''x'''")
    assert found.code == "E101"
    assert found.line > cases.GOOD.count("\n")


def test_places_are_those_of_the_file(tmp_path):
    """A finding that leads to another line, another file, or to no rule."""
    code = "from helper import rate"
    files = {"helper.py": '"""Helps."""\n\nimport os\n\nRATE = os.environ["RATE"]\n'}
    (found,) = findings(tmp_path, code=code, files=files)
    assert found.path == str(tmp_path / "helper.py")
    assert found.line == 5
    assert str(found).startswith(f"{tmp_path}/helper.py:5: E302 reads an environment")
    assert str(found).endswith('(DOCUMENTATION.md, "Self-Tuning Ruleset")')
    assert json.loads(json.dumps(found.as_json()))["severity"] == "error"


@pytest.mark.parametrize(
    "code",
    [
        "import helper\n\nhelper.Settings.rate = 1",
        "from .helper import Settings\n\nSettings.rate = 1",
        "from submissions.self_tuning.x.helper import Settings\n\nSettings.rate = 1",
    ],
)
def test_helpers_of_its_own_may_be_changed(tmp_path, code):
    """A submission that is told off for changing its own code."""
    files = {"helper.py": "class Settings:\n    rate = 0\n"}
    assert codes(tmp_path, code=code, files=files) == set()


@pytest.mark.parametrize(
    "line", ["from helper import *", "from .helper import get_batch_size"]
)
def test_functions_may_come_from_helpers(tmp_path, line):
    """A function of the API that is imported and said to be missing."""
    text = cases.GOOD.replace("def get_batch_size(", "def another(")
    helper = "def get_batch_size(workload_name):\n    return 64\n"
    (tmp_path / "submission.py").write_text(f"{line}\n{text}")
    (tmp_path / "helper.py").write_text(helper)
    found = check_files(tmp_path / "submission.py")
    assert "E102" not in {f.code for f in found}


def test_a_table_may_not_serve_two_purposes(tmp_path):
    """Batch sizes that also choose a rate: a look-up by workload in disguise."""
    code = "def rate(task):\n    return 0.1 * SIZES[task]"
    assert codes(tmp_path, code=code) == {"E201"}


def test_batch_sizes_may_be_looked_up_by_other_functions(tmp_path):
    """A table of batch sizes that is refused as it is not in get_batch_size itself."""
    code = """
BASES = {"wmt_post_ln": "wmt"}


def base(name):
    return BASES.get(name, name)


def get_batch_size(workload_name):
    if base(workload_name) not in SIZES:
        raise ValueError(workload_name)
    return SIZES[base(workload_name)]
"""
    assert codes(tmp_path, code=code) == set()


@pytest.mark.parametrize(
    "code",
    [
        "def f(workload):\n    return workload.name == 'x'",
        "def f(workload):\n    return {'A': 1}[workload.__class__.__name__]",
        "def f(workload):\n    return isinstance(workload, WmtWorkload)",
        "def f(workload_name):\n    return workload_name.startswith('im')",
        "def f(workload):\n    match str(workload):\n        case 'x': pass",
    ],
)
def test_ways_to_ask_what_the_workload_is(tmp_path, code):
    """A question about the workload that is only known in one wording."""
    assert codes(tmp_path, code=code) == {"E202"}


@pytest.mark.parametrize(
    "code",
    [
        "def f(p):\n    return p.shape == (1000, 2048)",
        "def f(p):\n    return tuple(p.shape) in [(1000, 2048), (32000, 512)]",
        "TABLE = {161: 0.1}\n\n\ndef f(params):\n    return TABLE.get(len(params))",
        "def f(workload):\n    n = len(workload.param_shapes)\n    return n == 33",
        "def f(params):\n    return sum(x.size for x in leaves(params)) == 2**20",
        "def f(p):\n    return str(p.shape) == '(3, 64)'",
    ],
)
def test_ways_to_take_a_fingerprint(tmp_path, code):
    """A fingerprint that is only known in one wording."""
    assert codes(tmp_path, code=code) == {"E204"}


@pytest.mark.parametrize(
    "code",
    [
        "def f(p):\n    return p.shape[0] == 1 or p.shape[-1] == 3",
        "def f(p, q):\n    return p.shape == q.shape",
        "def f(p):\n    return len(p.shape) == 4 and p.ndim >= 2",
        "def f(names):\n    return 'embedding' in names or names[0] == 'conv'",
        "def f(workload):\n    return workload.param_shapes['Dense_10']",
        "def f(params):\n    return len(params) == 0",
        "def f(x, block_size):\n    return x.shape[0] % block_size != 0",
        "def f(p, rate):\n    x = rotated(p.shape)\n    return rate(x) == 100",
        "def f(optimizer):\n    return len(optimizer.param_groups) == 20",
        "def f(optimizer, g):\n    optimizer.forward = g",
    ],
)
def test_what_shapes_may_be_used_for(tmp_path, code):
    """A generic use of shapes or names that is taken for a fingerprint."""
    assert codes(tmp_path, code=code) == set()


@pytest.mark.parametrize(
    ("code", "rule"),
    [
        ("import os\n\nos.environ.setdefault('A', '1')", "E301"),
        ("import os\n\nos.putenv('A', '1')", "E301"),
        ("from os import environ\n\nenviron.update(A='1')", "E301"),
        ("import os as o\n\nRATE = o.getenv('RATE')", "E302"),
        ("from absl import flags\n\nFLAGS = flags.FLAGS", "E302"),
        ("from pathlib import Path\n\nX = Path('x').read_text()", "E303"),
        ("import numpy as np\n\nX = np.load('x.npy')", "E303"),
        ("import torch\n\ntorch.save({}, 'x')", "E304"),
        ("import urllib.request as r\n\nX = r.urlopen('http://x')", "E305"),
        ("import torch\n\nM = torch.hub.load('a', 'b')", "E305"),
        ("X = __import__('o' + 's')", "E306"),
        ("import importlib\n\nX = importlib.import_module('x')", "E306"),
        ("from torch.utils.cpp_extension import load\n\nX = load('x')", "E401"),
        ("from jax.experimental import pallas as pl\n\nX = pl.pallas_call", "E401"),
        ("import jax\n\njax.config.update('jax_enable_x64', True)", "E402"),
        ("import torch\n\ntorch.set_float32_matmul_precision('high')", "E402"),
        (
            "def f(workload):\n"
            "    n: int = workload.num_train_examples\n"
            "    return n == 50_000",
            "E203",
        ),
        ("def f(workload):\n    return (n := workload.step_hint) == 600", "E203"),
        ("def f(self, g):\n    self._workload.eval_model = g", "E403"),
        ("def f(workload, g):\n    vars(workload)['eval_model'] = g", "E403"),
        ("def f(workload, g):\n    workload.__class__ = g", "E403"),
        ('RATES = {"wmt": 0.1}\n\n\ndef rate(task):\n    return RATES[task]', "E201"),
        ("from algoperf import spec\n\nspec.Workload.eval_model = None", "E404"),
        ("def f(model, g):\n    model.layers[0].forward = g", "E403"),
        (
            "def f(current_param_container, g):\n"
            "    current_param_container.forward = g",
            "E403",
        ),
    ],
)
def test_other_wordings(tmp_path, code, rule):
    """A rule that only knows one wording of what it forbids."""
    assert codes(tmp_path, code=code) == {rule}


@pytest.mark.parametrize(
    ("line", "allowed"),
    [
        ("jax[cuda12]==0.7.0", True),
        ("jax>=0.4", True),
        ("jax>0.7", False),
        ("torch~=2.5.0", True),
        ("torch==2.6", False),
        ("Absl_Py==2.1.0", True),
        ("numpy<2", False),
        ("numpy==1.26", False),
        ("numpy==2.1", True),
    ],
)
def test_versions(tmp_path, line, allowed):
    """Another version of the benchmark's packages that passes, or the reverse."""
    found = codes(tmp_path, files={"requirements.txt": line})
    assert found == (set() if allowed else {"E501"})


def test_a_search_space_elsewhere(tmp_path):
    """A search space that is named on the command line and not looked at."""
    space = tmp_path / "space.json"
    space.write_text('{"rate": {"min": 2, "max": 1, "scaling": "linear"}}')
    found = findings(tmp_path, ruleset="external", search_space=space)
    assert [f.code for f in found] == ["E505"]
    assert "min <= max" in found[0].message
    space.write_text('{"rate": {"feasible_points": [1, 2]}}')
    assert codes(tmp_path, ruleset="external", search_space=space) == set()
    assert codes(tmp_path, ruleset="self-tuning", search_space=space) == set()


def test_external_tuning_needs_a_search_space(tmp_path):
    """An external submission without a search space, which the harness would refuse."""
    assert codes(tmp_path, ruleset="external") == {"E505"}


def test_external_tuning_has_hyperparameters(tmp_path):
    """An external submission that is told off for reading its hyperparameters."""
    space = {
        "tuning_search_space.json": '{"learning_rate": {"feasible_points": [1, 2]}}'
    }
    bad, _ = cases.SELF_TUNING["E507"]
    assert codes(tmp_path, code=bad, files=space, ruleset="external") == set()
