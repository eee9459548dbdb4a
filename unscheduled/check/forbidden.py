"""Names that submissions may not use, or only with a reason: what each one means.

A name stands for all that is inside it too: `shutil` for `shutil.copy`.
"""

# By code of the rule: what is said of a name, and the names.
_TABLE = {
    "E303": (
        "{} reads a file: results of earlier computations may not be looked up; what a "
        "submission knows comes from its arguments.",
        """
        io.open os.listdir os.scandir os.walk glob linecache mmap
        importlib.resources pkgutil.get_data
        numpy.load numpy.loadtxt numpy.genfromtxt numpy.fromfile numpy.memmap
        jax.numpy.load torch.load torch.jit.load torch.from_file
        flax.training.checkpoints.restore_checkpoint
        pandas.read_csv pandas.read_json pandas.read_parquet pandas.read_pickle
        safetensors h5py.File joblib.load
        """,
    ),
    "E304": (
        "{} changes files: keep what training needs in the optimizer state, which the "
        "harness saves and restores.",
        """
        os.remove os.rename os.replace os.mkdir os.makedirs os.rmdir os.unlink
        shutil tempfile sqlite3
        numpy.save numpy.savez numpy.savez_compressed numpy.savetxt
        jax.numpy.save jax.numpy.savez torch.save joblib.dump
        flax.training.checkpoints.save_checkpoint
        """,
    ),
    "E302": (
        "{} reads the command line: hyperparameters come from the harness, or are "
        "constants.",
        "sys.argv argparse absl.flags click fire",
    ),
    "E305": (
        "{} leaves the process: what a submission knows comes from its arguments; no "
        "network, no other programs, no pre-trained models.",
        """
        urllib.request requests http httpx aiohttp socket ftplib smtplib boto3
        google.cloud huggingface_hub gdown wget
        torch.hub torchvision.models timm transformers
        subprocess os.system os.popen os.execv os.execvp os.spawnl os.fork pty
        """,
    ),
    "E306": (
        "{} runs or loads what can't be read here: write the code out, and import it "
        "by a plain import.",
        """
        eval exec compile __import__ importlib.import_module importlib.reload
        importlib.util.spec_from_file_location importlib.util.module_from_spec
        runpy imp ctypes cffi sys.modules marshal dill cloudpickle pickle.loads
        """,
    ),
    "W302": (
        "{} is a clock of its own: the official time is in train_state, and nothing "
        "else should depend on time.",
        """
        time.time time.time_ns time.monotonic time.monotonic_ns time.perf_counter
        time.perf_counter_ns time.process_time time.sleep
        datetime.datetime.now datetime.datetime.utcnow datetime.datetime.today
        datetime.date.today
        """,
    ),
    "W303": (
        "{} can compute while the clock stands still in evaluations, which is "
        "forbidden: use CUDA streams or explain why it does not.",
        """
        threading.Thread threading.Timer concurrent.futures multiprocessing
        torch.multiprocessing asyncio _thread
        """,
    ),
    "W304": (
        "sys.path changes where all modules are found: import helpers of the "
        "submission's own folder by relative imports.",
        "sys.path",
    ),
    "E401": (
        "{} brings kernels of its own, faster than other submissions' for reasons that "
        "are not the algorithm: use the operations of torch or JAX.",
        """
        triton cupy numba pycuda tvm cuda pyopencl
        torch.utils.cpp_extension torch.cuda.jiterator torch.ops.load_library
        jax.experimental.pallas jax.experimental.mosaic jax.experimental.custom_call
        jax.ffi jax.extend.ffi jax.lib.xla_client jaxlib.xla_client
        transformer_engine flash_attn apex bitsandbytes deepspeed xformers
        """,
    ),
    # Where it is set; reading it is allowed.
    "E402": (
        "{} is a setting of the framework, which would help or hurt any submission "
        "alike: leave it as the benchmark has it.",
        """
        torch.backends torch.set_float32_matmul_precision torch.set_num_threads
        torch.set_num_interop_threads torch.set_default_dtype torch.set_default_device
        torch.set_flush_denormal
        torch.cuda.memory.set_per_process_memory_fraction
        torch.cuda.set_per_process_memory_fraction
        torch._inductor.config torch._dynamo.config jax.config
        """,
    ),
    "E404": (
        "{} replaces code of others: call it, or write your own.",
        "unittest.mock.patch wrapt",
    ),
}
MESSAGES = {code: message for code, (message, _) in _TABLE.items()}
_CODES = {name: code for code, (_, names) in _TABLE.items() for name in names.split()}
# By the name of a method, whatever it is called on.
METHODS = {
    "read_text": "E303",
    "read_bytes": "E303",
    "write_text": "E304",
    "write_bytes": "E304",
}


def code_of(name: str) -> str | None:
    """The code of the rule on a dotted name, None where there is none.

    Example:
      >>> code_of("os.remove"), code_of("shutil.rmtree"), code_of("shutils")
      ('E304', 'E304', None)
    """
    while name and name not in _CODES:
        name = name.rpartition(".")[0]
    return _CODES.get(name)
