"""Which files a submission is made of."""

import pytest

from tests.submit.entries import ENTRIES, NAMES, PROJECT
from unscheduled.check.sources import LIBRARY, SourceError, sources


@pytest.fixture
def write(tmp_path):
    def write_files(**files):
        for name, text in files.items():
            path = tmp_path.joinpath(*name.split("__")).with_suffix(".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path / "submission.py"

    return write_files


@pytest.mark.parametrize("entry", ENTRIES, ids=NAMES)
def test_an_entry_s_sources_are_its_own_and_the_library_s(entry):
    """Modules missed, or taken from elsewhere: the rule check would not see them."""
    found = sources(entry)
    assert next(iter(found)) == "submission"
    assert found["submission"].path == entry
    framework = entry.parent.name.rpartition("_")[2]
    assert f"{LIBRARY}.entries.{framework}.training" in found
    for name, code in list(found.items())[1:]:
        place = PROJECT.joinpath(*name.split("."))
        assert code.path in (place.with_suffix(".py"), place / "__init__.py")


def test_imports_are_followed_wherever_and_however_they_are_written(write):
    """An import inside a function, or a relative one, that hides a file."""
    submission = write(
        submission="import os, helper\ndef f():\n  from .own import deep\n",
        helper="from unscheduled import ranges as r",
        own__deep="from . import sibling\nfrom .. import other",
        own__sibling="import unscheduled.entries.data",
        other="",
    )
    assert list(sources(submission)) == [
        "submission",
        "helper",
        "own.deep",
        "unscheduled.ranges",
        "own.sibling",
        "other",
        "unscheduled.entries.data",
        "unscheduled.spec",
        "unscheduled.benchmark.spec",
        "unscheduled.benchmark.spec_mirror",
    ]


def test_a_package_counts_where_something_is_taken_from_it(write):
    """Constants of an `__init__.py` lost, or every module that it lists dragged in."""
    submission = write(submission="from own import thing", own__part="")
    (submission.parent / "own" / "__init__.py").write_text("thing = 1")
    assert list(sources(submission)) == ["submission", "own"]
    submission.write_text("from own import part")
    assert list(sources(submission)) == ["submission", "own.part"]


def test_modules_left_out_are_not_followed(write):
    """What only such a module uses would be taken along."""
    submission = write(submission="import a", a="import b", b="import c", c="")
    assert list(sources(submission, without=["b"])) == ["submission", "a"]


def test_circles_end(write):
    """Two modules that import each other would be followed forever."""
    submission = write(submission="import a", a="import b", b="import a, submission")
    assert list(sources(submission)) == ["submission", "a", "b"]


def test_what_is_not_python_is_named(write):
    """A syntax error without the file that it is in."""
    with pytest.raises(SourceError) as error:
        sources(write(submission="import a", a="x = ("))
    assert str(error.value.path).endswith("a.py")


def test_a_module_named_from_the_official_root_is_found_in_the_folder(tmp_path):
    """A helper that the lint or the bundle misses, as its import names the folder."""
    folder = tmp_path / "somewhere"
    folder.mkdir()
    (folder / "submission.py").write_text(
        "from submissions.self_tuning.mine.optimizer import Adam\n"
        "from submissions.self_tuning.mine import schedule\n"
    )
    for name in ("optimizer", "schedule"):
        (folder / f"{name}.py").write_text("")
    found = sources(folder / "submission.py")
    assert [*found] == ["submission", "optimizer", "schedule"]
