"""Attention in every form, with every mask.

    "attend": x (b, s, 8), keep (b, s)            a sequence that looks at itself
    "attend other": x (b, s, 8), y (b, t, 8), keep (b, t)       .. or at another

A parameter is the mask's form, and how the rest is written: `lowest grouped`.
"""

from collections.abc import Mapping, Sequence
from itertools import product

from .masks import truth
from .model import Type
from .op import Op
from .shapes import Rule, are_floats, number

KEYS = "{k}[:, None, None, :]"
FIRST = "({k} | (torch.arange(k.shape[2]) == 0))[:, None, None, :]"
ZEROS = "torch.zeros(q.shape[0], 1, q.shape[2], k.shape[2], dtype=q.dtype)"
QUERY_AT, KEY_AT = "torch.arange(q.shape[2])[:, None]", "torch.arange(k.shape[2])"
DISTANCE = f"-0.5 * ({KEY_AT} - {QUERY_AT}).abs().to(q.dtype)"

FORMS: dict[str, str] = {
    "keys": KEYS,
    "expanded": f"{KEYS}.expand(-1, 1, q.shape[2], -1)",
    "infinite": f'{ZEROS}.masked_fill(~{KEYS}, float("-inf"))',
    "lowest": f"{ZEROS}.masked_fill(~{KEYS}, torch.finfo(q.dtype).min)",
    "lowest but the first": f"{ZEROS}.masked_fill(~{FIRST}, torch.finfo(q.dtype).min)",
    "lowest times": f"(1.0 - {KEYS}.to(q.dtype)) * torch.finfo(q.dtype).min",
    "causal lowest": f"{ZEROS}.masked_fill(~({KEYS} & ({KEY_AT} <= {QUERY_AT})), torch.finfo(q.dtype).min)",
    "strictly causal lowest": f"{ZEROS}.masked_fill(~({KEYS} & ({KEY_AT} < {QUERY_AT})), torch.finfo(q.dtype).min)",
    "low": f"{ZEROS}.masked_fill(~{KEYS}, -1e4)",
    "causal keys": f"{KEYS} & ({KEY_AT} <= {QUERY_AT})",
    "lower keys": f"{KEYS} & torch.ones(q.shape[2], k.shape[2], dtype=torch.bool).tril()",
    "strictly causal keys": f"{KEYS} & ({KEY_AT} < {QUERY_AT})",
    "window keys": f"{KEYS} & (({KEY_AT} - {QUERY_AT}).abs() <= 1)",
    "back window keys": f"{KEYS} & ({KEY_AT} <= {QUERY_AT}) & ({KEY_AT} > {QUERY_AT} - 2)",
    "biased keys": f'torch.where({KEYS}, {DISTANCE}, float("-inf"))',
    "biased lowest": f"torch.where({KEYS}, {DISTANCE}, torch.finfo(q.dtype).min)",
    "other sequences": "{k}.flip(0)[:, None, None, :]",
    "not keys": f"~{KEYS}",
}  # fmt: skip
"""Masks of a mask over keys `{k}`, of queries `q` and keys `k`."""

SELF_FORMS: dict[str, str] = {
    "both": "{k}[:, None, :, None] & {k}[:, None, None, :]",
    "queries": "{k}[:, None, :, None]",
    "segments": "{k}[:, None, :, None] == {k}[:, None, None, :]",
    "keys or self": f"{KEYS} | ({KEY_AT} == {QUERY_AT})",
}
"""Those that need queries and keys of one sequence."""

PLAIN_FORMS: dict[str, str] = {
    "none": "None",
    "causal": "None, is_causal=True",
    "lower": "torch.ones(q.shape[2], k.shape[2], dtype=torch.bool).tril()",
    "bias": DISTANCE,
}
"""Those that need no mask."""

STATE = {
    "query": "nn.Linear({last}, 8)",
    "key": "nn.Linear({last1}, 8)",
    "value": "nn.Linear({last1}, 8)",
    "out": "nn.Linear(8, 8)",
}
WAYS: dict[str, tuple[str, str]] = {
    "plain": (".unflatten(-1, (2, -1))", ""),
    "scaled": (".unflatten(-1, (2, -1))", ", scale=0.3"),
    "grouped": ("[..., :4].unflatten(-1, (1, -1))", ", enable_gqa=True"),
}
"""How keys and values become heads, and what is said besides."""


def same_sequence(types: Sequence[Type], parameter: str) -> Type | None:
    """x (b, s, 8), keep (b, s)"""
    x = types[0].dims
    if len(x) != 3 or not are_floats(types[:1]) or number(x[2]) is None:
        return None
    if len(types) == 2 and (not truth(types, parameter) or len(types[1].dims) != 2):
        return None
    return Type("float", (*x[:2], "8"))


def other_sequence(types: Sequence[Type], parameter: str) -> Type | None:
    """x (b, s, 8), y (b, t, 8), keep (b, t)"""
    x, y = types[0].dims, types[1].dims
    if not same_sequence(types[1:], parameter) or not same_sequence(types[:1], parameter):
        return None
    return Type("float", (*x[:2], "8")) if x[0] == y[0] else None


HIDDEN = """shown = seen if seen.dtype == torch.bool else seen > torch.finfo(q.dtype).min
seen_by = shown.broadcast_to(*q.shape[:3], k.shape[2]).any(1).any(1)
k, w = (part.where(seen_by[:, None, :, None], 0.0) for part in (k, w))"""
"""Keys and values that are hidden from every query, cleared: NaN in them reaches nobody then."""

NOTHING = """p = q @ k.repeat_interleave(q.shape[1] // k.shape[1], 1).transpose(2, 3)
a = a.where(~p.isnan().all(-1, keepdim=True), 0.0)"""
"""Queries whose scores are all NaN, cleared: torch's attention without a mask does that."""


def code(forms: Mapping[str, str], source: int, mask: int, hidden: str = "", nothing: str = "") -> dict[str, str]:
    """The code of each parameter; keys and values come from operand `source`."""
    written: dict[str, str] = {}
    for (form, text), (way, (cut, extra)) in product(forms.items(), WAYS.items()):
        seen = text.replace("{k}", f"{{bool{mask}}}")
        named = not seen.startswith("None")
        lines = [
            "q = {m}query({0}).unflatten(-1, (2, -1)).transpose(1, 2)",
            f"k = {{m}}key({{{source}}}){cut}.transpose(1, 2)",
            f"w = {{m}}value({{{source}}}){cut}.transpose(1, 2)",
            *([f"seen = {seen}"] if named else []),
            *([hidden] if named and hidden else []),
            f"a = functional.scaled_dot_product_attention(q, k, w, {'seen' if named else seen}{extra})",
            *([nothing] if named and nothing else []),
            "{r} = {m}out(a.transpose(1, 2).flatten(2))",
        ]
        written[f"{form} {way}"] = "\n".join(lines)
    return written


def attend(forms: Mapping[str, str], rule: Rule, arity: int, source: int, mask: int, weight: float) -> Op:
    """Attention with every form of mask, in every way."""
    state = {name: text.replace("{last1}", f"{{last{source}}}") for name, text in STATE.items()}
    texts = code(forms, source, mask)
    clears, more = code(forms, source, mask, HIDDEN), code(forms, source, mask, HIDDEN, NOTHING)
    return Op(texts, rule, arity, tuple(texts), state, weight, clears, more, "hidden")


WRITTEN = """q, k, w = {m}qkv({0}).chunk(3, -1)
p = (q @ k.transpose(1, 2)).masked_fill(~{bool1}[:, None, :], {p}).softmax(-1)
{r} = p @ w"""

ATTENTION = {
    "attend": attend(FORMS | SELF_FORMS, same_sequence, 2, 0, 1, 9),
    "attend other": attend(FORMS, other_sequence, 3, 1, 2, 3),
    "attend all": attend(PLAIN_FORMS, same_sequence, 1, 0, 1, 1.5),
    "attend all other": attend(PLAIN_FORMS, lambda t, p: other_sequence(t, p), 2, 1, 2, 1),
    "written attention": Op(
        WRITTEN, same_sequence, 2, ('float("-inf")', "-1e9", "-1e4"), {"qkv": "nn.Linear({last}, 24)"}, weight=1
    ),
    "encoder layer": Op(
        "{m}({0}, src_key_padding_mask=~{bool1})",
        lambda types, p: same_sequence(types, p) if types[0].dims[-1:] == ("8",) else None,
        2,
        ("False", "True"),
        {"": "nn.TransformerEncoderLayer(8, 2, 12, dropout=0.0, batch_first=True, norm_first={p})"},
        weight=1,
        clears="{m}({0}.where({bool1}[..., None], 0.0), src_key_padding_mask=~{bool1})",
        when="hidden",
    ),
    "multihead": Op(
        "{m}({0}, {0}, {0}, key_padding_mask=~{bool1}, need_weights=False)[0]",
        lambda types, p: same_sequence(types, p) if types[0].dims[-1:] == ("8",) else None,
        2,
        state={"": "nn.MultiheadAttention(8, 2, batch_first=True)"},
        weight=0.7,
        clears="{m}(*[{0}.where({bool1}[..., None], 0.0)] * 3, key_padding_mask=~{bool1}, need_weights=False)[0]",
        when="hidden",
    ),
}
