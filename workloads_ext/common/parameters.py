"""Parameter types from parameter names; one set of rules for both frameworks."""

import re

from unscheduled import spec

Rules = tuple[tuple[str, spec.ParameterType], ...]

_Type = spec.ParameterType
_WEIGHTS = ("weight", "kernel", "scale", "embedding")
# (pattern in the path, type of a weight, type of a bias); the first match counts.
_RULES = (
    (r"bn", _Type.BATCH_NORM_SCALE, _Type.BATCH_NORM_BIAS),
    (r"\bln|norm", _Type.LAYER_NORM_SCALE, _Type.LAYER_NORM_BIAS),
    (r"conv", _Type.CONV_WEIGHT, _Type.BIAS),
    (r"embed", _Type.EMBEDDING, _Type.BIAS),
    (r"attn\W+q$", _Type.ATTENTION_Q, _Type.ATTENTION_BIAS),
    (r"attn\W+kv", _Type.ATTENTION_KV, _Type.ATTENTION_BIAS),
    (r"attn\W+qkv", _Type.ATTENTION_QKV, _Type.ATTENTION_BIAS),
    (r"attn\W+out", _Type.ATTENTION_OUT, _Type.ATTENTION_BIAS),
    (r"^(?!.*attn)", _Type.WEIGHT, _Type.BIAS),
)


def parameter_type(path: str, rules: Rules = ()) -> spec.ParameterType:
    """The type of the parameter at `path`, such as 'layer1.0.bn1.weight'.

    `rules` of the workload itself, (pattern in the path in lower case, type), come
    first.
    """
    name = path.lower()
    for pattern, kind in rules:
        if re.search(pattern, name):
            return kind
    modules, _, leaf = name.rpartition(".")
    if leaf in (*_WEIGHTS, "bias"):
        for pattern, weight_type, bias_type in _RULES:
            if re.search(pattern, modules):
                return bias_type if leaf == "bias" else weight_type
    raise ValueError(f"No rule gives the type of the parameter {path!r}.")
