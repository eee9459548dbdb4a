"""What the tests of the workloads share."""

import pytest


@pytest.fixture(scope="package", autouse=True)
def one_thread():
    """PyTorch on one thread: several wait for each other where cores are shared."""
    try:
        import torch
    except ModuleNotFoundError:
        yield
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
