"""Nothing is wrong with this one: SGD with momentum, as plain as can be.

The others here import what they do not do wrong from it.
"""

import torch

from unscheduled import spec

_BATCH_SIZES = {
    "criteo1tb": 262_144,
    "fastmri": 32,
    "imagenet_resnet": 1024,
    "imagenet_vit": 1024,
    "librispeech_conformer": 256,
    "librispeech_deepspeech": 256,
    "ogbg": 512,
    "wmt": 128,
    "digits_resnet": 64,
    "stdlib_lm": 8,
}


def get_batch_size(workload_name):
    if workload_name not in _BATCH_SIZES:
        raise ValueError(f"no batch size for {workload_name!r}.")
    return _BATCH_SIZES[workload_name]


def init_optimizer_state(workload, model_params, model_state, hyperparameters, rng):
    del workload, model_state, hyperparameters, rng
    parameters = model_params.parameters()
    return {"optimizer": torch.optim.SGD(parameters, lr=0.01, momentum=0.9)}


def backward(workload, model, model_state, batch, rng):
    """Sets the gradients; returns the new model state."""
    model.zero_grad(set_to_none=True)
    logits, model_state = workload.model_fn(
        model,
        batch,
        model_state,
        spec.ForwardPassMode.TRAIN,
        rng,
        update_batch_norm=True,
        dropout_rate=0.0,
    )
    losses = workload.loss_fn(batch["targets"], logits, batch.get("weights"))
    (losses["summed"] / losses["n_valid_examples"]).backward()
    return model_state


def update_params(
    workload,
    current_param_container,
    current_params_types,
    model_state,
    hyperparameters,
    batch,
    loss_type,
    optimizer_state,
    eval_results,
    global_step,
    rng,
    train_state=None,
):
    del current_params_types, hyperparameters, loss_type, eval_results, global_step
    del train_state
    model = current_param_container
    model_state = backward(workload, model, model_state, batch, rng)
    optimizer_state["optimizer"].step()
    return optimizer_state, model, model_state


def prepare_for_eval(
    workload,
    current_param_container,
    current_params_types,
    model_state,
    hyperparameters,
    loss_type,
    optimizer_state,
    eval_results,
    global_step,
    rng,
):
    del workload, current_params_types, hyperparameters, loss_type, eval_results
    del global_step, rng
    return optimizer_state, current_param_container, model_state


def data_selection(
    workload,
    input_queue,
    optimizer_state,
    current_param_container,
    model_state,
    hyperparameters,
    global_step,
    rng,
):
    del workload, optimizer_state, current_param_container, model_state
    del hyperparameters, global_step, rng
    return next(input_queue)
