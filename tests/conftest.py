"""Fixtures that all tests share."""

import os

import pytest

# The models here are too small to gain from more threads, and torch's threads spin:
# beside any other process on the same cores they make a step several times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_addoption(parser):
    parser.addoption(
        "--device",
        choices=["cuda", "cpu"],
        default="cuda",
        help="where tests marked gpu run; cpu is to try them out",
    )


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory) -> str:
    """Where the data sets of this test session are made, once."""
    return str(tmp_path_factory.mktemp("data"))
