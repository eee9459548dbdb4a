r"""Runs a submission on a workload, under AlgoPerf's rules.

Example:
  unscheduled run --workload=digits_resnet --framework=pytorch \
      --submission_path=submissions/schedule_free_adamw_pytorch/submission.py \
      --tuning_ruleset=self --experiment_name=study_0 \
      --experiment_dir=runs/schedule_free_adamw_pytorch

  torchrun --nproc_per_node=2 -m unscheduled run ... trains in two processes.
"""

import os

from absl import flags, logging

from unscheduled.benchmark.frameworks import FRAMEWORKS
from unscheduled.benchmark.rulesets import RULESETS
from unscheduled.runner import process

flags.DEFINE_string("submission_path", None, "Python file of the submission.")
flags.DEFINE_string("workload", None, "Name of the workload.")
flags.DEFINE_enum("framework", None, FRAMEWORKS, "Framework of the submission.")
flags.DEFINE_enum("tuning_ruleset", "external", RULESETS, "Tuning ruleset.")
flags.DEFINE_string("tuning_search_space", None, "JSON file: the search space.")
flags.DEFINE_integer(
    "num_tuning_trials", 1, "Number of trials.", lower_bound=1, upper_bound=10_000
)
flags.DEFINE_integer("hparam_start_index", None, "First trial to run, from 0.")
flags.DEFINE_integer("hparam_end_index", None, "Trial to stop before, from 0.")
flags.DEFINE_string("data_dir", "~/data", "Where data sets are, or are made.")
flags.DEFINE_string("imagenet_v2_data_dir", None, "Where the test split is, if apart.")
flags.DEFINE_string("librispeech_tokenizer_vocab_path", None, "For --harness=official.")
flags.DEFINE_string("experiment_dir", None, "Folder of all experiments.")
flags.DEFINE_string("experiment_name", None, "Name of this experiment.")
flags.DEFINE_boolean("append_timestamp", False, "Add the time to the name.")
flags.DEFINE_boolean("overwrite", False, "Remove an experiment of the same name.")
flags.DEFINE_boolean("resume_last_run", False, "Go on from the newest checkpoint.")
flags.DEFINE_boolean("save_checkpoints", True, "Save at evaluations and at the end.")
flags.DEFINE_boolean("save_intermediate_checkpoints", True, "Keep all, or the last.")
flags.DEFINE_integer("max_global_steps", None, "Most steps to take.", lower_bound=1)
flags.DEFINE_integer("rng_seed", None, "Seed of the trials' seeds.", lower_bound=0)
flags.DEFINE_boolean("torch_compile", None, "Compile; by default only on a GPU.")
flags.DEFINE_boolean("use_wandb", False, "Log to Weights & Biases too.")
flags.DEFINE_integer(
    "scale", 1, "Times the model's widths and the batch, for a GPU.", lower_bound=1
)
flags.DEFINE_boolean("profile", False, "Print the time by section at the end.")
flags.DEFINE_boolean("capture_jax_trace", False, "Write a JAX profiler trace.")
flags.DEFINE_boolean("skip_evals", False, "Evaluate nothing.")
flags.DEFINE_boolean(
    "set_pytorch_max_split_size", False, "Set the CUDA allocator's split size to 256."
)
flags.DEFINE_integer("pytorch_eval_num_workers", 0, "For --harness=official.")
flags.DEFINE_enum(
    "harness", "embedded", ["embedded", "official"], "Ours, or the installed algoperf."
)
flags.DEFINE_string(
    "clock", "wall", "wall, or steps:SECONDS for a fixed time a step (reproducible)."
)
flags.DEFINE_float(
    "fetch_sec",
    0.0,
    "Seconds on the clock that a batch takes to be fetched, while steps are taken.",
    lower_bound=0.0,
)
flags.mark_flags_as_required(
    ["workload", "framework", "submission_path", "experiment_dir", "experiment_name"]
)


def main(_):
    if flags.FLAGS.harness == "official":
        return run()  # which takes the place of this process
    return process.watched(run)


def run():
    """The run, in this process."""
    if not flags.FLAGS["verbosity"].present:
        logging.set_verbosity(logging.WARNING)
    if flags.FLAGS.set_pytorch_max_split_size:
        os.environ["PYTORCH_CUDA_ALLOC_CONF"] = "max_split_size_mb:256"
    # Here and not above: it takes a moment, in which the process is not yet watched.
    from unscheduled.runner import main as runner

    return runner.run(flags.FLAGS)
