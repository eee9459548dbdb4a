"""Lookahead around any optimizer of PyTorch's."""

from collections.abc import Callable
from typing import Any, ClassVar, Literal

import torch

from .arithmetic import FOREACH, Tensors, lerp_
from .base import can_skip, parts, require_dense, state_like, untraced
from .wrapper import OptimizerWrapper

# What optimizers call the moving average of gradients that they step along.
_MOMENTA = ("exp_avg", "momentum_buffer")
# What Schedule-Free has beside the parameters that is weights too.
_SEQUENCES = ("z", "x")


class Lookahead(OptimizerWrapper):
    r"""k steps forward, 1 step back: slow weights φ that follow any optimizer's θ.

    After every k-th step of the optimizer inside,

        φ <- φ + α (θ - φ),   θ <- φ

    and its momentum is kept, set to 0, or pulled back by the same α to what it was
    after the last sync. In training mode the parameters hold θ, in evaluation mode φ
    (and the state calls slow what is fast). Around a Schedule-Free optimizer θ is y, z
    follows as y does, and evaluation mode gives the x of the slow y and z. With
    `adaptive`, α minimizes the quadratic model of the loss whose curvature is F, the
    moving average of g²:

        α = 1 + gᵀd / (dᵀ F d),  d = φ - θ,  clipped to [alpha, 1]

    over all parameters, where g is the gradient of the last step.

    Args:
      optimizer: any torch.optim.Optimizer.
      k: fast steps to a slow one, at least 1.
      alpha: α in (0, 1], or its lower bound if adaptive; 1 is the optimizer inside.
      adaptive: α by Proposition 1; it takes one more tensor of state a parameter.
      momentum: "keep", "reset" or "pullback".
      fisher_decay: decay in [0, 1) of the moving average F.

    In the groups these are `lookahead_k`, `lookahead_alpha` and so on.

    Raises:
      TypeError: if `optimizer` is not an optimizer.
      ValueError: for a value outside its range.
      RuntimeError: if `step` is called in evaluation mode, or, if adaptive, on a
        sparse gradient.

    Example:
      >>> model = torch.nn.Linear(2, 1)
      >>> fast = torch.optim.AdamW(model.parameters(), lr=0.001)
      >>> optimizer = Lookahead(fast, k=5, alpha=0.5)
      >>> model(torch.ones(4, 2)).sum().backward()
      >>> optimizer.step()
      >>> optimizer.eval()  # the model now holds the slow weights
      >>> optimizer.train()  # back to the fast ones

    Source: Zhang et al., arXiv 1907.08610, Algorithm 1 and Proposition 1.
    """

    _prefix = "lookahead_"
    _counters = ("lookahead_step",)
    _kinds: ClassVar = {
        "k": "k",
        "alpha": "alpha",
        "adaptive": "adaptive",
        "momentum": "slow_momentum",
        "fisher_decay": "fisher_decay",
    }

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        k: int = 5,
        alpha: float = 0.5,
        *,
        adaptive: bool = False,
        momentum: Literal["keep", "reset", "pullback"] = "keep",
        fisher_decay: float = 0.999,
    ):
        super().__init__(optimizer, locals(), slow_mode=False)

    @torch.no_grad()
    def train(self) -> None:
        """Sets the parameters to θ, for training. Does nothing in training mode."""
        if hasattr(self.optimizer, "train"):  # a Schedule-Free one
            self.optimizer.train()  # type: ignore[attr-defined]
        self._swap(slow_mode=False)

    @torch.no_grad()
    def eval(self) -> None:
        """Sets the parameters to φ, to evaluate or save. Does nothing at φ."""
        self._swap(slow_mode=True)
        if hasattr(self.optimizer, "eval"):
            self.optimizer.eval()  # type: ignore[attr-defined]

    def _swap(self, slow_mode: bool) -> None:
        """Has the slow and the fast weights change places, where they have not yet."""
        for group in self.param_groups:
            if group["slow_mode"] == slow_mode:
                continue
            for p in group["params"]:
                state = self.state.get(p, {})
                for name, weights in self._weights(p).items():
                    slow = state[name]
                    if slow.dtype == weights.dtype:
                        fast = weights.clone()
                        weights.copy_(slow)
                        slow.copy_(fast)
                    elif slow_mode:
                        state["fast"].copy_(weights)
                        weights.copy_(slow)
                    else:
                        weights.copy_(state["fast"])
            group["slow_mode"] = slow_mode

    def _weights(self, p: torch.Tensor) -> dict[str, torch.Tensor]:
        """What has slow weights for this parameter, by their names in the state."""
        state = self.state.get(p, {})
        tensors = {"slow": p, **_tensors(state, _SEQUENCES, "slow_")}
        return {name: t for name, t in tensors.items() if name in state}

    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """One step of the optimizer inside and, after every k-th, a slow one.

        Args:
          closure: recomputes the loss and its gradients, and returns the loss. The
            optimizer inside calls it.

        Raises:
          RuntimeError: in evaluation mode.
        """
        starts = self._starts(with_closure=closure is not None)
        loss = self._inside_step(closure)
        self._after_step(starts)
        return loss

    @property
    def found_inf(self) -> torch.Tensor | None:
        """Where set, as torch's fused optimizers have it: 1 for a step to skip."""
        return getattr(self.optimizer, "found_inf", None)

    @found_inf.setter
    def found_inf(self, found_inf: torch.Tensor | None) -> None:
        self.optimizer.found_inf = found_inf  # type: ignore[attr-defined]

    @property
    def can_skip(self) -> bool:
        """Whether the optimizer inside heeds `found_inf`."""
        return can_skip(self.optimizer)

    @untraced
    @torch.no_grad()
    def _starts(self, with_closure: bool) -> dict[torch.Tensor, dict]:
        """The first slow weights of the parameters that may have their first step."""
        if any(group["slow_mode"] for group in self.param_groups):
            raise RuntimeError(
                "step() was called in evaluation mode, where the parameters hold the "
                "slow weights; call optimizer.train() first."
            )
        starts = {}
        for group in self.param_groups:
            self._with_gradients(group)
            for p in group["params"]:
                state = self.state.get(p, {})
                may_move = p.grad is not None or (with_closure and p.requires_grad)
                if may_move and "slow" not in state:
                    tensors = {"slow": p, **_tensors(state, _SEQUENCES, "slow_")}
                    starts[p] = {n: state_like(t) for n, t in tensors.items()}
        return starts

    def _with_gradients(self, group: dict[str, Any]) -> Tensors:
        params = [p for p in group["params"] if p.grad is not None]
        if group["lookahead_adaptive"]:
            require_dense(params, "Lookahead(adaptive=True)")
        return params

    @untraced
    @torch.no_grad()
    def _after_step(self, starts: dict) -> None:
        """What comes after the step inside: counts and averages, and the slow step."""
        due, adaptive = [], []
        for group in self.param_groups:
            options, params = self._options(group), self._with_gradients(group)
            for p in params:
                if p in starts:
                    self._start(p, starts[p], options)
            if self.found_inf is not None:
                self._sync_on_device(params, options, 1 - self.found_inf.double())
                continue
            for p in params:
                self._count(p, options)
                if self.state[p]["lookahead_step"] % options["k"]:
                    continue
                due.append((p, options))
                if options["adaptive"]:
                    sign = -1.0 if group.get("maximize") else 1.0
                    adaptive.append((p, options["fisher_decay"], sign))
        best = self._best_alpha(adaptive)
        for p, options in due:
            alpha = options["alpha"]
            if options["adaptive"]:
                alpha = min(1.0, max(alpha, best))
            self._sync(p, alpha, options["momentum"])

    def _sync_on_device(
        self, params: Tensors, options: dict[str, Any], taken: torch.Tensor
    ) -> None:
        """Count and slow step, where only the device knows whether a step was taken."""
        if options["adaptive"] or options["momentum"] != "keep":
            raise ValueError(
                "found_inf goes with momentum='keep' and without adaptive."
            )
        steps: dict[Any, torch.Tensor] = {}
        pairs: dict[tuple, list] = {}
        for p in params:
            state = self.state[p]
            step = state["lookahead_step"]
            key = id(step) if torch.is_tensor(step) else step
            if key not in steps:  # those that are together share their count
                steps[key] = step + taken
            state["lookahead_step"] = steps[key]
            for name, weights in self._weights(p).items():
                pair = (weights, state[name])
                dtypes = [tensor.dtype for tensor in pair]
                pairs.setdefault((key, *dtypes), []).append(pair)
        for (key, *_), of_one_kind in pairs.items():
            weights, slow = (parts([*ts]) for ts in zip(*of_one_kind, strict=True))
            is_due = taken * (steps[key] % options["k"] == 0)
            alpha = (is_due * options["alpha"]).to(slow[0].dtype)
            lerp_(FOREACH, slow, FOREACH.like(weights, slow), alpha)
            is_due = is_due.to(weights[0].dtype)
            lerp_(FOREACH, weights, FOREACH.like(slow, weights), is_due)

    def _start(self, p: torch.Tensor, slow: dict, options: dict[str, Any]) -> None:
        state = self.state[p]
        state.update(slow, lookahead_step=0)
        for name in _tensors(state, _SEQUENCES, "slow_"):
            if name not in state:
                # The optimizer inside began it in this step, at the slow weights.
                state[name] = state["slow"].clone()
        if state["slow"].dtype != p.dtype:
            # In evaluation mode p has no room for what is slow, nor slow for p.
            state["fast"] = torch.zeros_like(p)
        if options["adaptive"]:
            state["fisher"] = torch.zeros_like(state["slow"])

    def _count(self, p: torch.Tensor, options: dict[str, Any]) -> None:
        state = self.state[p]
        state["lookahead_step"] = int(state["lookahead_step"]) + 1
        if options["momentum"] == "pullback":
            for name, momentum in _tensors(state, _MOMENTA).items():
                if f"slow_{name}" not in state:
                    state[f"slow_{name}"] = torch.zeros_like(momentum)
        if options["adaptive"]:
            grad, fisher = parts([p.grad, state["fisher"]])  # type: ignore[list-item]
            fisher.mul_(options["fisher_decay"])
            fisher.addcmul_(grad, grad, value=1 - options["fisher_decay"])

    def _sync(self, p: torch.Tensor, alpha: float, momentum: str) -> None:
        """The slow step."""
        state = self.state[p]
        for name, weights in self._weights(p).items():
            slow = state[name]
            slow.lerp_(weights.to(slow.dtype), alpha)
            weights.copy_(slow)
        for name, fast in _tensors(state, _MOMENTA).items():
            if momentum == "reset":
                fast.zero_()
            elif momentum == "pullback":
                fast.copy_(state[f"slow_{name}"].lerp_(fast, alpha))

    def _best_alpha(self, params: list[tuple[torch.Tensor, float, float]]) -> float:
        """α before it is clipped, of (parameter, decay of F, sign of the gradient)."""
        slope = curvature = 0.0
        for p, decay, sign in params:
            state = self.state[p]
            tensors = [p, p.grad, state["slow"], state["fisher"]]
            fast, grad, slow, fisher = parts(tensors)
            d = slow - fast
            correction = 1 - decay ** state["lookahead_step"]
            slope = slope + sign * torch.sum(grad * d)
            curvature = curvature + torch.sum(fisher * d * d) / correction
        return float(1 + slope / curvature) if curvature > 0 else 1.0

    def _state_names(self, group: dict[str, Any], state: dict[str, Any]) -> set[str]:
        options = self._options(group)
        names = {"slow", "lookahead_step", *_tensors(state, _SEQUENCES, "slow_")}
        if options["adaptive"]:
            names.add("fisher")
        if options["momentum"] == "pullback":
            names.update(_tensors(state, _MOMENTA, "slow_"))
        return names | super()._state_names(group, state)


def _tensors(
    state: dict[str, Any], names: tuple[str, ...], prefix: str = ""
) -> dict[str, torch.Tensor]:
    """Those of the named tensors that a state has, with a prefix to their names."""
    return {prefix + n: state[n] for n in names if torch.is_tensor(state.get(n))}
