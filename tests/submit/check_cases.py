"""What breaks each rule, and what only looks like it; code that is added to a good one.

By code of the rule: (bad, good). Each is a piece of a submission, parsed and never run.
"""

GOOD = """
SIZES = {"wmt": 128, "ogbg": 512}


def get_batch_size(workload_name):
    if workload_name not in SIZES:
        raise ValueError(workload_name)
    return SIZES[workload_name]


def init_optimizer_state(workload, model_params, model_state, hyperparameters, rng):
    return make_optimizer(model_params, workload.step_hint)


def update_params(workload, current_param_container, current_params_types, model_state,
                  hyperparameters, batch, loss_type, optimizer_state, eval_results,
                  global_step, rng, train_state=None):
    return optimizer_state, current_param_container, model_state


def prepare_for_eval(workload, current_param_container, current_params_types,
                     model_state, hyperparameters, loss_type, optimizer_state,
                     eval_results, global_step, rng):
    return optimizer_state, current_param_container, model_state


def data_selection(workload, input_queue, optimizer_state, current_param_container,
                   model_state, hyperparameters, global_step, rng):
    return next(input_queue)
"""

INFO = """\
submission_name: Test
submission_folder: submissions/self_tuning/test
authors: Somebody
affiliations: Somewhere
version: "1.0"
ruleset: self-tuning
framework: PyTorch
description: a test
"""

INTERFACE = {
    "E103": (
        "def data_selection(workload, optimizer_state, input_queue, *rest):\n    pass",
        "def prepare_for_eval(**arguments):\n    pass",
    ),
    "W101": (
        "def get_batch_size(name):\n    raise ValueError(name)",
        "def get_batch_size(workload_name):\n    raise ValueError(workload_name)",
    ),
    "W103": (
        "from algorithmic_efficiency import spec",
        "from algoperf import spec",
    ),
}

WORKLOAD = {
    "E201": (
        "def rate(optimizer_state):\n"
        '    return 0.1 if optimizer_state["task"] in ["wmt", "ogbg"] else 0.2',
        # The name of a workload in words is no decision.
        "def rate(step):\n"
        '    log(f"as in the paper on wmt: {step}")\n'
        '    return 0.1 if step in ["first", "last"] else 0.2',
    ),
    "E202": (
        "def rate(workload):\n"
        "    kind = type(workload).__name__.lower()\n"
        '    return 0.1 if "resnet" in kind else 0.2',
        "def rate(workload):\n"
        "    log(type(workload).__name__)\n"
        "    assert isinstance(workload, spec.Workload)\n"
        '    return 0.1 if workload.loss_type == "ctc" else 0.2',
    ),
    "E203": (
        "IMAGENET = 1_281_167\n\n\n"
        "def rate(workload):\n"
        "    examples = workload.num_train_examples\n"
        "    return 0.1 if examples == IMAGENET else 0.2",
        "def epochs(workload, batch_size, epoch):\n"
        "    steps = workload.num_train_examples // batch_size\n"
        "    return steps if steps > epoch else 1",
    ),
    "E204": (
        "def rate(model_params):\n"
        "    count = sum(p.numel() for p in model_params.parameters())\n"
        "    return 0.1 if count == 25_557_032 else 0.2",
        # A cheaper routine for large or one-dimensional parameters is allowed.
        "def routine(parameter):\n"
        "    if parameter.numel() > 1_000_000 or len(parameter.shape) == 1:\n"
        '        return "diagonal"\n'
        "    return 'full' if parameter.shape[0] > parameter.shape[1] else 'left'",
    ),
    "W201": (
        "def warmup(workload):\n    return 10 if workload.step_hint < 1000 else 100",
        "def is_late(workload, step):\n    return step > 0.1 * workload.step_hint",
    ),
    "W202": (
        "def sign(workload):\n"
        '    return -1 if workload.target_metric_name in ("wer", "loss") else 1',
        "def latest(workload, eval_results):\n"
        '    return eval_results[-1][1][f"validation/{workload.target_metric_name}"]',
    ),
}

OUTSIDE = {
    "E301": (
        'import os\n\nos.environ["XLA_FLAGS"] = "--xla_fast"',
        'class Settings:\n    environ = {}\n\n\nSettings.environ["XLA_FLAGS"] = "x"',
    ),
    "E302": (
        'import os\n\nRATE = float(os.environ.get("RATE", 0.1))',
        # What torchrun says about devices.
        'import os\n\nRANK = int(os.environ["RANK"]) if "RANK" in os.environ else 0',
    ),
    "E303": (
        'import torch\n\nWEIGHTS = torch.load("weights.pt")',
        "def restore(optimizer, state):\n    optimizer.load(state)",
    ),
    "E304": (
        'def keep(state):\n    with open("x", "wb") as file:\n        file.write(1)',
        "def keep(state):\n    state.write(1)",
    ),
    "E305": (
        "import subprocess\n\n\ndef f():\n    subprocess.run(['nvidia-smi'])",
        "import queue\n\n\ndef f():\n    queue.Queue()",
    ),
    "E306": (
        'def f(text):\n    return eval(text, {"x": 1})',
        "def f(model):\n    model.eval()\n    return torch.compile(model)",
    ),
    "W301": (
        "import os\n\nPATH = os.path.join(os.path.dirname(__file__), 'theta')\n\n\n"
        "def load():\n    with open(PATH, 'rb') as file:\n        return file.read()",
        "PATH = __file__",
    ),
    "W302": (
        "import time\n\n\ndef f():\n    return time.time() > 1e9",
        "def f(train_state):\n"
        '    return train_state["accumulated_submission_time"] > 9',
    ),
    "W303": (
        "import threading\n\n\ndef f(work):\n    threading.Thread(target=work).start()",
        "import torch\n\n\ndef f():\n    return torch.cuda.Stream()",
    ),
    "W304": (
        'import sys\n\nsys.path.append("helpers")',
        "import sys\n\nIS_64_BIT = sys.maxsize > 2**32",
    ),
}

INTERNALS = {
    "E401": (
        "import triton\n\n\n@triton.jit\ndef kernel(x):\n    return x",
        "import torch\n\n\n@torch.compile\ndef update(x):\n    return x",
    ),
    "E402": (
        "import torch\n\ntorch.backends.cudnn.benchmark = True",
        "import torch\n\nFAST = torch.backends.cudnn.is_available()",
    ),
    "E403": (
        "def f(workload, g):\n    setattr(type(workload), 'eval_model', g)",
        "class Trainer:\n"
        "    def __init__(self, workload):\n        self._workload = workload",
    ),
    "E404": (
        "import torch.nn.functional as F\n\nF.relu = F.gelu",
        "class F:\n    relu = None\n\n\nF.relu = F",
    ),
    "E406": (
        "def f(workload):\n    return workload._build_input_queue(0, 'train', 'd', 1)",
        "def f(workload, rng):\n    return workload.init_model_fn(rng)",
    ),
    "W401": (
        "import optax\n\n\ndef f(x):\n    return optax._src.base.identity(x)",
        # torch documents these, underscore and all.
        "import torch\n\n\ndef f(x):\n    torch._foreach_add_(x, 1)\n    x._own = 1",
    ),
    "W402": (
        "def f(model, g):\n    model.register_forward_hook(g)",
        "def f(parameter, g):\n    parameter.register_post_accumulate_grad_hook(g)",
    ),
    "W403": (
        "def f(workload):\n    return workload._eval_model_on_split('test')",
        "def f(workload):\n    return workload.eval_batch_size",
    ),
}

SELF_TUNING = {
    "E507": (
        "def init_optimizer_state(workload, model_params, model_state,\n"
        "                         hyperparameters, rng):\n"
        "    return hyperparameters.learning_rate",
        "def init_optimizer_state(workload, model_params, model_state,\n"
        "                         hyperparameters, rng):\n"
        "    if hyperparameters is None:\n"
        "        return 0.1\n"
        "    return hyperparameters.learning_rate",
    ),
}

LICENCE = {
    "E504": (
        "# SPDX-License-Identifier: GPL-3.0-only",
        "# SPDX-License-Identifier: Apache-2.0",
    ),
    "W503": (
        "# This source code is licensed under the BSD-style license in LICENSE.",
        "# A limited number of steps, licensed to nobody else.",
    ),
}

CODE = {**INTERFACE, **WORKLOAD, **OUTSIDE, **INTERNALS, **SELF_TUNING}
HEADER = LICENCE

REQUIREMENTS = {
    "E501": ("optax==0.2.6  # contrib", "optax==0.2.2\nnumpy>=2.1\ntorch"),
    "E502": ("_libgcc_mutex=0.1=main  # what", "# Batch statistics.\nbackpack>=1.6"),
    "W501": ("backpack>=1.6", "backpack>=1.6  # batch statistics, for the line search"),
}

FOLDER = {
    "E503": (
        {"submission_info.yml": INFO.replace("self-tuning\n", "internal\n")},
        {"submission_info.yml": INFO},
    ),
    "E504": (
        {"LICENSE": "MIT License"},
        {"LICENSE": "Apache License\nVersion 2.0, January 2004"},
    ),
    "E505": (
        {
            "submission_info.yml": INFO.replace("self-tuning\n", "external\n"),
            "tuning_search_space.json": '[{"learning_rate": 0.1}]',
        },
        {
            "submission_info.yml": INFO.replace("self-tuning\n", "external\n"),
            "tuning_search_space.json": '{"rate": {"feasible_points": [0.1]}}',
        },
    ),
    "E506": (
        {
            "submission_info.yml": INFO.replace("self-tuning\n", "external\n"),
            "tuning_search_space.json": '{"rate_wmt": {"feasible_points": [1]}}',
        },
        {
            "submission_info.yml": INFO.replace("self-tuning\n", "external\n"),
            "tuning_search_space.json": '{"rate": {"feasible_points": ["a", "b"]}}',
        },
    ),
    "W502": (
        {"submission_info.yml": INFO.replace("Somebody", "''")},
        {"submission_info.yml": INFO.replace("Somebody", "'A and B'")},
    ),
    "W504": (
        {"tuning_search_space.json": '{"rate": {"feasible_points": [1]}}'},
        {"search_space.json": '{"rate": {"feasible_points": [1]}}'},
    ),
}

# tests/submit/bad_submissions, by name: the codes of (the files, the dry run), where
# the time and memory are not counted. In the dry run nobody reads the files first.
BAD_SUBMISSIONS = {
    "plain_sgd": ([], []),
    "changes_the_workload": (["E403"], ["E605"]),
    "diverges": ([], ["E603"]),
    "forgets_momentum": ([], ["E607"]),
    "keeps_a_number": ([], ["W601"]),
    "knows_no_other_names": ([], ["E602"]),
    "leaves_a_hook": (["W402"], []),
    "needs_a_package": ([], ["N601"]),
    "returns_nothing": ([], ["E601"]),
    "sets_a_precision": (["E402"], ["W602"]),
    "sets_a_variable": (["E301"], ["E606"]),
    "slow_and_large": ([], ["W603", "W604"]),
    "state_is_a_list": ([], ["E604"]),
    "wants_hyperparameters": (["E507"], ["E601"]),
}
