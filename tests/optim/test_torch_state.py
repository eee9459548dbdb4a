"""What the PyTorch optimizers save: whole, in torch's own tools, and known again."""

import copy

import pytest
import torch
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)

from tests import trajectories
from tests.optim.test_torch import ALL, AROUND, EXACT, WITH_MODES, make, step, values
from unscheduled.optim_torch import (
    AdamWScheduleFree,
    Lookahead,
    RAdamScheduleFree,
    ScheduleFreeWrapper,
    SGDScheduleFree,
)

# Bases of every kind of state, and what a checkpoint must bring along.
CHANGED = {
    "Lookahead": (
        lambda ps: Lookahead(
            torch.optim.SGD(ps, 0.1, momentum=0.9), k=2, momentum="pullback"
        ),
        lambda ps: Lookahead(
            torch.optim.SGD(ps, 0.3, momentum=0.5), k=10, alpha=0.9, momentum="pullback"
        ),
    ),
    "Lookahead-adaptive": (
        lambda ps: Lookahead(torch.optim.Adam(ps), k=3, alpha=0.1, adaptive=True),
        lambda ps: Lookahead(torch.optim.Adam(ps), fisher_decay=0.5, adaptive=True),
    ),
    "Lookahead-schedule-free": (
        lambda ps: Lookahead(RAdamScheduleFree(ps), k=3, momentum="reset"),
        lambda ps: Lookahead(RAdamScheduleFree(ps, betas=(0.7, 0.9)), k=4),
    ),
    "Lookahead-wrapper": (
        lambda ps: Lookahead(ScheduleFreeWrapper(torch.optim.Adam(ps)), k=3),
        lambda ps: Lookahead(ScheduleFreeWrapper(torch.optim.Adam(ps), momentum=0.5)),
    ),
    "ScheduleFreeWrapper": (
        lambda ps: ScheduleFreeWrapper(torch.optim.RMSprop(ps), momentum=0.6, r=1.0),
        lambda ps: ScheduleFreeWrapper(torch.optim.RMSprop(ps), weight_decay_at_y=0.1),
    ),
    "SGDScheduleFree": (
        lambda ps: SGDScheduleFree(ps, 0.1, momentum=0.6, decoupling_c=3.0),
        lambda ps: SGDScheduleFree(ps, 0.2, warmup_steps=9),
    ),
}


@pytest.mark.parametrize("name", WITH_MODES)
def test_a_new_optimizer_at_x_does_not_drop_a_loaded_state(name):
    """Empty states, left by a switch, that torch's tool takes for all there is."""
    params, optimizer = make(name, steps=2)
    options = StateDictOptions(flatten_optimizer_state_dict=True)
    saved = get_optimizer_state_dict(module(params), optimizer, options=options)
    others, other = make(name)
    other.eval()
    assert not other.state
    with pytest.raises(RuntimeError, match=r"call optimizer.train\(\) first"):
        set_optimizer_state_dict(module(others), other, saved, options=options)


def module(params):
    return torch.nn.ParameterList(params)


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("at_x", [False, True])
@pytest.mark.parametrize("name", ALL)
def test_torch_s_checkpoint_tool_keeps_all(name, at_x, dtype, flat):
    """State, or a mode, that is kept where only our own state_dict() looks."""
    params, optimizer = make(name, steps=7, dtype=dtype)
    if at_x:
        trajectories.switch(optimizer, "eval")
    options = StateDictOptions(flatten_optimizer_state_dict=flat)
    saved = get_optimizer_state_dict(module(params), optimizer, options=options)
    others, other = make(name, dtype=dtype)
    load(others, values(params))
    set_optimizer_state_dict(
        module(others), other, copy.deepcopy(saved), options=options
    )
    assert_goes_on_alike(params, optimizer, others, other)


@pytest.mark.parametrize("flat", [None, False, True])
@pytest.mark.parametrize("name", CHANGED)
def test_saved_hyperparameters_count(name, flat):
    """A run that goes on with another k, α, β or base than it was saved with."""
    params, optimizer = make_changed(name, 0, steps=7)
    others, other = make_changed(name, 1)
    load(others, values(params))
    if flat is None:
        other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    else:
        options = StateDictOptions(flatten_optimizer_state_dict=flat)
        saved = get_optimizer_state_dict(module(params), optimizer, options=options)
        set_optimizer_state_dict(
            module(others), other, copy.deepcopy(saved), options=options
        )
    assert_goes_on_alike(params, optimizer, others, other)


def make_changed(name, which, steps=0):
    params, _ = make("RAdam")
    optimizer = CHANGED[name][which](params)
    for _ in range(steps):
        step(params, optimizer)
    return params, optimizer


@torch.no_grad()
def load(params, saved):
    for p, value in zip(params, saved, strict=True):
        p.copy_(value)


def assert_goes_on_alike(params, optimizer, others, other):
    for ps, o in ((params, optimizer), (others, other)):
        trajectories.switch(o, "train")
        for _ in range(5):
            step(ps, o)
        trajectories.switch(o, "eval")
    for p, q in zip(values(params), values(others), strict=True):
        torch.testing.assert_close(p, q, **EXACT)


@pytest.mark.parametrize("name", ALL)
def test_the_state_is_tensors_and_numbers_under_names(name):
    """A tuple or an object, which checkpoint tools refuse or drop."""
    params, optimizer = make(name, steps=4)
    for at_x in (False, True):
        trajectories.switch(optimizer, "eval" if at_x else "train")
        for state in optimizer.state_dict()["state"].values():
            for key, value in state.items():
                assert type(key) is str
                assert isinstance(value, (torch.Tensor, int, float)), key
        names = {(p.dim() == 2, *sorted(optimizer.state[p])) for p in params}
        assert len({is_matrix for is_matrix, *_ in names}) == len(names)


@pytest.mark.parametrize("name", ALL)
def test_a_state_older_than_a_hyperparameter_is_loaded(name):
    """A KeyError, at load or at the next step, for what a newer version has added."""
    params, optimizer = make(name, steps=4)
    saved = optimizer.state_dict()
    needed = {"params", "lr", "optimizer"}
    for key in saved["param_groups"][0].keys() - needed:
        older = copy.deepcopy(saved)
        del older["param_groups"][0][key]
        _, other = make(name)
        other.load_state_dict(older)
        trajectories.switch(other, "train")
        step(params, other)
        clone = copy.deepcopy(optimizer)
        del clone.param_groups[0][key]
        clone = copy.deepcopy(clone)
        clone.step()


FOREIGN = {
    "AdamW": torch.optim.AdamW,
    "RAdam": torch.optim.RAdam,
    "SGD": lambda ps: torch.optim.SGD(ps, 0.1),
    "SGD-momentum": lambda ps: torch.optim.SGD(ps, 0.1, momentum=0.9),
    "Lookahead-SGD": lambda ps: Lookahead(torch.optim.SGD(ps, 0.1)),
    "Lookahead-NAdam": lambda ps: Lookahead(torch.optim.NAdam(ps, 0.1)),
    "ScheduleFreeWrapper-SGD": lambda ps: ScheduleFreeWrapper(torch.optim.SGD(ps, 0.1)),
}


@pytest.mark.parametrize("steps", [0, 2])
@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("foreign", [*FOREIGN, *ALL])
def test_the_state_of_another_optimizer_is_refused(name, foreign, steps):
    """A KeyError at the next step, or a run that goes on without what is missing."""
    if foreign.split("-beta0")[0] == name.split("-beta0")[0]:
        pytest.skip("is the same optimizer")
    theirs, _ = make("RAdam")
    other = (FOREIGN[foreign] if foreign in FOREIGN else ALL[foreign])(theirs)
    for _ in range(steps):
        step(theirs, other)
    _, optimizer = make(name, steps=1)
    before = copy.deepcopy(optimizer.state_dict())
    with pytest.raises(ValueError, match="the state must be of "):
        optimizer.load_state_dict(other.state_dict())
    assert str(optimizer.state_dict()) == str(before)


def test_a_state_without_what_its_hyperparameters_need_is_refused():
    """A KeyError at the next step, or an x that is lost."""
    for name, key in (
        ("AdamWScheduleFree", "z"),
        ("AdamWScheduleFree", "averaging_weight_sum"),
        ("AdamWScheduleFree-beta0", "x"),
        ("RAdam", "exp_avg"),
        ("ScheduleFreeWrapper", "z"),
        ("Lookahead", "slow"),
        ("Lookahead", "fisher"),
        ("Lookahead", "slow_exp_avg"),
        ("Lookahead-AdamWScheduleFree", "exp_avg_sq"),
        ("Lookahead-AdamWScheduleFree", "slow_z"),
    ):
        _, optimizer = make(name, steps=1)
        saved = copy.deepcopy(optimizer.state_dict())
        del saved["state"][1][key]
        with pytest.raises(ValueError, match=rf"parameter 1 has no \['{key}'\]"):
            optimizer.load_state_dict(saved)


@pytest.mark.parametrize("name", ALL)
def test_a_group_can_be_added_after_loading(name):
    """Groups that are no longer those of the optimizer inside, and are added twice."""
    params, optimizer = make(name, steps=2)
    optimizer.load_state_dict(optimizer.state_dict())
    new = torch.nn.Parameter(torch.ones(3))
    optimizer.add_param_group({"params": [new], "lr": 0.05})
    assert len(optimizer.param_groups) == 2
    for _ in range(6):  # more than RAdam's silent phase
        step([*params, new], optimizer)
    trajectories.switch(optimizer, "eval")
    assert (new < 1).all()
    assert len(copy.deepcopy(optimizer).param_groups) == 2


@pytest.mark.parametrize("name", AROUND)
def test_a_group_may_have_hyperparameters_of_its_own(name):
    """A k or β that is the same for all groups, or that is not checked."""
    _, optimizer = make(name)
    own = {
        "ScheduleFreeWrapper": {"schedule_free_momentum": 1.5},
        "Lookahead": {"lookahead_k": 0},
        "Lookahead-AdamWScheduleFree": {"lookahead_alpha": "x"},
    }[name]
    new = torch.nn.Parameter(torch.ones(3))
    with pytest.raises(ValueError, match=r"(momentum|k|alpha) must be "):
        optimizer.add_param_group({"params": [new], **own})
    assert len(optimizer.param_groups) == 1


def test_lookahead_groups_sync_at_their_own_k():
    """One k for all groups."""
    params = [torch.nn.Parameter(torch.ones(1)) for _ in range(2)]
    groups = [{"params": params[:1], "lookahead_k": 2}, {"params": params[1:]}]
    optimizer = Lookahead(torch.optim.SGD(groups, lr=1.0), k=3, alpha=0.5)
    seen = []
    for _ in range(3):
        for p in params:
            p.grad = torch.ones(1)
        optimizer.step()
        seen.append([p.item() for p in params])
    assert seen == [[0.0, 0.0], [0.0, -1.0], [-1.0, -0.5]]


def test_the_beta_of_a_wrapper_may_change_from_step_to_step():
    """x computed with another β than y was made with."""
    params, optimizer = make_changed("ScheduleFreeWrapper", 0)
    p, group = params[0], optimizer.param_groups[0]
    for beta in (0.6, 1.0, 0.3):
        group["schedule_free_momentum"] = beta
        step(params, optimizer)
        y = p.detach().clone()
        optimizer.eval()
        expected = torch.lerp(optimizer.state[p]["z"], p.detach(), beta)
        torch.testing.assert_close(y, expected)
        optimizer.train()
    group["schedule_free_momentum"] = 0.0
    with pytest.raises(ValueError, match="must not become 0"):
        step(params, optimizer)


def test_lookahead_passes_the_closure_on():
    """An optimizer inside that can't evaluate the loss more than once."""
    p = torch.nn.Parameter(torch.tensor([3.0, -2.0]))
    alone = torch.nn.Parameter(p.detach().clone())
    lbfgs = torch.optim.LBFGS([alone], lr=0.1)
    optimizer = Lookahead(torch.optim.LBFGS([p], lr=0.1), k=2, alpha=0.5)
    start = p.detach().clone()

    def closure(q, of):
        of.zero_grad()
        value = (q**4).sum()
        value.backward()
        return value

    for _ in range(2):
        ours = optimizer.step(lambda: closure(p, optimizer))
        theirs = lbfgs.step(lambda: closure(alone, lbfgs))
        torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(p.detach(), (start + alone.detach()) / 2)


def test_an_optimizer_that_needs_a_closure_is_refused_where_it_has_none():
    """A loss evaluated at z."""
    params, _ = make("RAdam")
    with pytest.raises(ValueError, match="LBFGS can't step without a closure"):
        ScheduleFreeWrapper(torch.optim.LBFGS(params))


@pytest.mark.parametrize(
    "make_twice",
    [
        lambda base: Lookahead(Lookahead(base)),
        lambda base: ScheduleFreeWrapper(ScheduleFreeWrapper(base)),
    ],
)
def test_the_same_wrapper_twice_is_refused(make_twice):
    """Slow weights of one that the other takes for its own."""
    params, _ = make("RAdam")
    with pytest.raises(ValueError, match="switches modes as this one does"):
        make_twice(torch.optim.SGD(params, lr=0.1))
    with pytest.raises(ValueError, match="switches modes as this one does"):
        ScheduleFreeWrapper(AdamWScheduleFree(params))
