"""Fixtures that all tests share."""

import pytest


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory) -> str:
    """Where the data sets of this test session are made, once."""
    return str(tmp_path_factory.mktemp("data"))
