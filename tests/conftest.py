"""Fixtures that all tests share."""

import os
import tempfile

import pytest

# The models here are too small to gain from more threads, and torch's threads spin:
# beside any other process on the same cores they make a step several times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")


# What JAX compiles for one test it need not compile again for the next, nor for the
# processes that tests start. A folder with a largest size is used under a lock.
_COMPILED = {
    "JAX_COMPILATION_CACHE_MAX_SIZE": str(2**30),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
}


def pytest_configure(config):
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return  # the user's, or that of the session whose worker this is
    folder = tempfile.TemporaryDirectory(prefix="compiled_")
    config.add_cleanup(folder.cleanup)
    os.environ |= _COMPILED | {"JAX_COMPILATION_CACHE_DIR": folder.name}


def pytest_addoption(parser):
    parser.addoption(
        "--device",
        choices=["cuda", "cpu"],
        default="cuda",
        help="where tests marked gpu run; cpu is to try them out",
    )
    parser.addoption(
        "--data_dir", help="where data sets stay, which take a minute to make"
    )


@pytest.fixture(scope="session")
def data_dir(request, tmp_path_factory) -> str:
    """Where the data sets of this test session are made, once for all its workers.

    Those that runs of the tests need are there: a run that waits for another process
    to make them would say so where a test expects it to say nothing.
    """
    from tests.workloads.helpers import prepare

    folder = request.config.getoption("--data_dir")
    if folder is None:
        base = tmp_path_factory.getbasetemp()
        is_worker = "PYTEST_XDIST_WORKER" in os.environ
        folder = (base.parent if is_worker else base) / "data"
    for name in ("digits_resnet", "flights_dlrm", "stdlib_lm"):
        prepare(name, folder)
    return os.path.abspath(folder)
