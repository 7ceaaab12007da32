"""Elementwise functions, binary arithmetic with broadcasting, comparisons, selection, casts."""

import numpy as np
import torch
import torch.nn.functional as F

from recorder import booleans, given, integers, normal, uniform

TINY = np.finfo(np.float32).tiny
SPECIAL = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0]

# name, reference, a range where it is smooth (and, for f32, well conditioned)
UNARY = [
    ("neg", torch.neg, (-3, 3)),
    ("abs", torch.abs, (-3, 3)),
    ("exp", torch.exp, (-5, 5)),
    ("expm1", torch.expm1, (-3, 3)),
    ("log", torch.log, (0.05, 8)),
    ("log1p", torch.log1p, (-0.8, 8)),
    ("sqrt", torch.sqrt, (0.05, 9)),
    ("rsqrt", torch.rsqrt, (0.05, 9)),
    ("reciprocal", torch.reciprocal, (0.2, 4)),
    ("square", torch.square, (-3, 3)),
    ("sin", torch.sin, (-7, 7)),
    ("cos", torch.cos, (-7, 7)),
    ("tan", torch.tan, (-1.3, 1.3)),
    ("asin", torch.asin, (-0.95, 0.95)),
    ("acos", torch.acos, (-0.95, 0.95)),
    ("atan", torch.atan, (-6, 6)),
    ("sinh", torch.sinh, (-4, 4)),
    ("cosh", torch.cosh, (-4, 4)),
    ("asinh", torch.asinh, (-6, 6)),
    ("acosh", torch.acosh, (1.2, 8)),
    ("atanh", torch.atanh, (-0.95, 0.95)),
    ("tanh", torch.tanh, (-4, 4)),
    ("sigmoid", torch.sigmoid, (-8, 8)),
    ("erf", torch.erf, (-3, 3)),
    ("erfinv", torch.erfinv, (-0.97, 0.97)),
    ("relu", torch.relu, (-3, 3)),
    ("silu", F.silu, (-6, 6)),
    ("softplus", F.softplus, (-9, 9)),
]

# functions that keep full relative accuracy near zero
ACCURATE_AT_ZERO = {
    "expm1": torch.expm1, "log1p": torch.log1p, "sin": torch.sin, "tan": torch.tan, "asin": torch.asin,
    "atan": torch.atan, "sinh": torch.sinh, "asinh": torch.asinh, "atanh": torch.atanh, "tanh": torch.tanh,
    "erf": torch.erf, "erfinv": torch.erfinv,
}


def softplus_exact(x):
    # torch's softplus returns x itself above its threshold; this one does not round there
    return torch.logaddexp(x, torch.zeros_like(x))


def record(recorder):
    unary(recorder)
    rounding(recorder)
    binary(recorder)
    compare_and_select(recorder)
    cast(recorder)


def unary(recorder):
    case = recorder.case
    for op, function, (low, high) in UNARY:
        function = softplus_exact if op == "softplus" else function
        accurate = {"tolerance": 2e-6, "tolerance_float64": 1e-12, "scale": 0.01}
        if op == "erfinv":
            accurate |= {"tolerance": 1e-5, "tolerance_float64": 1e-10}
        case(f"{op}/matrix", op, function, [uniform(low, high, 5, 37)], **accurate)
        case(f"{op}/scalar", op, function, [uniform(low, high)], **accurate)
        case(f"{op}/empty", op, function, [uniform(low, high, 0, 3)], **accurate)
        # what lies outside erfinv's domain, and silu(-inf) = -inf · 0, have no agreed answer
        agreed = [v for v in SPECIAL if not (op == "erfinv" and abs(v) > 1 or op == "silu" and v == -np.inf)]
        case(f"{op}/special", op, function, [given(agreed)], gradients=False, **accurate)
        if op in ACCURATE_AT_ZERO:
            small = np.concatenate([np.logspace(-30, -0.5, 60), -np.logspace(-30, -0.5, 60)])
            case(f"{op}/small", op, function, [given(small)], gradients=False, **(accurate | {"scale": 1e-35}))

    for approximate in (False, True):
        kind = "tanh" if approximate else "none"
        case(
            f"gelu/approximate_{approximate}".lower(), "gelu", lambda x, kind=kind: F.gelu(x, approximate=kind),
            [uniform(-4, 4, 5, 37)], {"approximate": approximate}, scale=0.1,
        )
    for op, function in (("sin", torch.sin), ("cos", torch.cos)):
        case(f"{op}/large", op, function, [uniform(-5000, 5000, 64)], tolerance=1e-5, scale=1.0)
    for op, function in (("sigmoid", torch.sigmoid), ("tanh", torch.tanh), ("silu", F.silu), ("softplus", softplus_exact)):
        case(f"{op}/saturated", op, function, [given([-80, -40, -20, 20, 40, 80])], scale=1e-6, gradient_scale=1.0)

    # where f32 overflows or becomes subnormal
    stored = recorder.stored
    edges = given([88.0, 88.7, 88.8, 100.0, 1e30, -87.0, -104.0, -200.0, -1e30])
    with np.errstate(all="ignore"):
        stored("exp/float32_range", "exp", np.exp, [edges], tolerance=2e-6, scale=float(TINY))
        stored("expm1/float32_range", "expm1", np.expm1, [edges], tolerance=2e-6, scale=0.01)
        stored("sinh/float32_range", "sinh", np.sinh, [edges], tolerance=5e-6, scale=0.01)
        stored("cosh/float32_range", "cosh", np.cosh, [edges], tolerance=5e-6, scale=0.01)
        wide = given([float(TINY), 1e-30, 1e-10, 1e10, 1e30, 3.4e38])
        stored("log/float32_range", "log", np.log, [wide], tolerance=2e-6)
        stored("log1p/float32_range", "log1p", np.log1p, [wide], tolerance=2e-6, scale=float(TINY))
        stored("sqrt/float32_range", "sqrt", np.sqrt, [wide], tolerance=2e-7, scale=float(TINY))
        stored("asinh/float32_range", "asinh", np.arcsinh, [wide], tolerance=2e-6, scale=float(TINY))
    for dtype in (np.int32, np.int64):
        numbers = given([[-7, -1, 0], [1, 5, 100]], dtype)
        kind = np.dtype(dtype).name
        stored(f"neg/{kind}", "neg", np.negative, [numbers])
        stored(f"abs/{kind}", "abs", np.abs, [numbers])
        stored(f"sign/{kind}", "sign", np.sign, [numbers])
        stored(f"square/{kind}", "square", np.square, [numbers])
    stored("logical_not/bool", "logical_not", np.logical_not, [booleans(3, 5)])
    for op, function in (("isnan", np.isnan), ("isinf", np.isinf), ("isfinite", np.isfinite)):
        stored(f"{op}/special", op, function, [given(SPECIAL)])


def rounding(recorder):
    halves = given([-2.5, -1.5, -0.5, -0.4, 0.0, 0.4, 0.5, 1.5, 2.5, 8388609.0, 1e20, np.inf, -np.inf, np.nan])
    for op, function in (
        ("floor", torch.floor), ("ceil", torch.ceil), ("round", torch.round), ("trunc", torch.trunc),
        ("sign", lambda x: torch.where(x.isnan(), x, torch.sign(x))),  # torch says 0 for NaN
    ):
        exact = {"gradients": False, "tolerance": 0.0, "tolerance_float64": 0.0}
        recorder.case(f"{op}/halves", op, function, [halves], **exact)
        recorder.case(f"{op}/matrix", op, function, [uniform(-9, 9, 3, 21)], **exact)


BROADCASTS = [
    ("same", (3, 5), (3, 5)),
    ("row", (4, 5), (5,)),
    ("column", (4, 5), (4, 1)),
    ("outer", (4, 1), (1, 7)),
    ("scalar_right", (2, 3), ()),
    ("scalar_left", (), (2, 3)),
    ("deep", (2, 1, 3, 1), (4, 1, 5)),
    ("empty", (0, 3), (3,)),
]


def binary(recorder):
    case, stored = recorder.case, recorder.stored
    table = [
        ("add", torch.add, (-3, 3), (-3, 3)),
        ("sub", torch.sub, (-3, 3), (-3, 3)),
        ("mul", torch.mul, (-3, 3), (-3, 3)),
        ("div", torch.div, (-3, 3), (0.3, 3)),
        ("pow", torch.pow, (0.2, 4), (-2.5, 2.5)),
        ("atan2", torch.atan2, (-3, 3), (0.2, 3)),
        ("maximum", torch.maximum, (-3, 3), (-3, 3)),
        ("minimum", torch.minimum, (-3, 3), (-3, 3)),
    ]
    for op, function, left, right in table:
        for kind, a, b in BROADCASTS:
            case(f"{op}/{kind}", op, function, [uniform(*left, *a), uniform(*right, *b)], tolerance=5e-6, tolerance_float64=1e-12)
        grid_a, grid_b = np.meshgrid(SPECIAL, SPECIAL)
        if op not in ("pow", "atan2"):
            case(
                f"{op}/special", op, function, [given(grid_a.ravel()), given(grid_b.ravel())],
                gradients=False, tolerance=1e-6, scale=1e-3,
            )
    # quarters: every remainder is exact in both precisions
    quarters = given(np.arange(-11, 12)[:, None] * 0.25 + 0.125)
    case(
        "rem/signs", "rem", torch.remainder, [quarters, given([[1.0, -1.0, 0.75, -2.5]])],
        tolerance=1e-6, reference=np.mod,
    )
    case("rem/row", "rem", torch.remainder, [uniform(-9, 9, 4, 5), uniform(1, 3, 5)], reference=np.mod)
    case(
        "pow/special", "pow", torch.pow,
        [given([0, 0, 0, 1, 1, -1, -1, 2, -2, -2, -8, np.inf, -np.inf, np.nan, 0.5, 2]),
         given([0, 2, -1, np.inf, np.nan, 2, 3, -2, 3, -2, 0.5, -1, 3, 0, np.inf, -np.inf])],
        gradients=False, tolerance=1e-6, reference=np.power,
    )
    case("pow/negative_base_gradient", "pow", torch.pow, [uniform(-3, -0.5, 6), given([1, 2, 3, 4, -1, -2])], gradients=[True, False])
    case(
        "pow/zero_base_gradient", "pow", torch.pow, [given([0, 0, 0]), given([1, 2, 3])], gradients=[True, False],
    )
    quadrant_y, quadrant_x = np.meshgrid([0, 1, -1, np.inf, -np.inf, np.nan, 2.5], [0, 1, -1, np.inf, -np.inf, np.nan, 0.5])
    case("atan2/special", "atan2", torch.atan2, [given(quadrant_y.ravel()), given(quadrant_x.ravel())], gradients=False, tolerance=2e-6)

    for dtype in (np.int32, np.int64, np.uint8):
        kind = np.dtype(dtype).name
        low = 0 if dtype == np.uint8 else -20
        pair = [integers(low, 21, 4, 6, dtype=dtype), integers(low, 21, 6, dtype=dtype)]
        for op, function in (
            ("add", np.add), ("sub", np.subtract), ("mul", np.multiply), ("maximum", np.maximum), ("minimum", np.minimum),
            ("bitwise_and", np.bitwise_and), ("bitwise_or", np.bitwise_or), ("bitwise_xor", np.bitwise_xor),
        ):
            with np.errstate(over="ignore"):
                stored(f"{op}/{kind}", op, function, pair)
        signs = [given([7, 7, 8, 0, 9, 255 if low == 0 else -7, 200 if low == 0 else -8, 3], dtype),
                 given([2, 3, 4, 5, 10, 7 if low == 0 else 2, 3 if low == 0 else -3, 1 if low == 0 else -2], dtype)]
        stored(f"floor_divide/{kind}", "floor_divide", np.floor_divide, signs)
        stored(f"rem/{kind}", "rem", np.mod, signs)
        with np.errstate(divide="ignore"):
            stored(f"floor_divide/{kind}_by_zero", "floor_divide", np.floor_divide,
                   [given([5, 0, 200], dtype), given([0, 0, 0], dtype)])
    stored("pow/int32", "pow", np.power, [given([2, -3, 0, 1, 10], np.int32), given([10, 3, 0, 7, 9], np.int32)])
    for op, function in (("logical_and", np.logical_and), ("logical_or", np.logical_or), ("logical_xor", np.logical_xor)):
        stored(f"{op}/bool", op, function, [booleans(4, 6), booleans(6)])


def compare_and_select(recorder):
    stored, case = recorder.stored, recorder.case
    comparisons = [
        ("equal", np.equal), ("not_equal", np.not_equal), ("less", np.less), ("less_equal", np.less_equal),
        ("greater", np.greater), ("greater_equal", np.greater_equal),
    ]
    grid_a, grid_b = np.meshgrid(SPECIAL, SPECIAL)
    for op, function in comparisons:
        stored(f"{op}/special", op, function, [given(grid_a.ravel()), given(grid_b.ravel())])
        stored(f"{op}/float64", op, function, [given([1, 1 + 1e-12, 1], np.float64), given([1, 1, 1 + 1e-12], np.float64)])
        stored(f"{op}/int32", op, function, [integers(-3, 4, 5, 7), integers(-3, 4, 5, 1)])
        stored(f"{op}/int64_wide", op, function, [given([2**53, 2**53 + 1], np.int64), given([2**53 + 1, 2**53], np.int64)])
        stored(f"{op}/uint8", op, function, [given([0, 200, 255], np.uint8), given([255, 100, 255], np.uint8)])
    for op, function in comparisons[:2]:
        stored(f"{op}/bool", op, function, [booleans(3, 4), booleans(4)])

    exact = {"tolerance": 0.0, "tolerance_float64": 0.0}
    case("where/same", "where", torch.where, [booleans(4, 5), normal(4, 5), normal(4, 5)], **exact)
    case("where/broadcast", "where", torch.where, [booleans(4, 1), normal(5), normal(3, 1, 1)], tolerance=1e-6)
    case("where/scalar", "where", torch.where, [booleans(6), normal(6), given(0.0)], tolerance=1e-6)
    case("where/hides_nan", "where", torch.where,
         [given([True, False, True], bool), given([1, np.nan, 3]), given([np.inf, 2, np.nan])], **exact)
    stored("where/int32", "where", np.where, [booleans(3, 4), integers(0, 9, 3, 4), integers(0, 9, 4)])


def cast(recorder):
    names = {
        "float32": torch.float32, "float64": torch.float64, "float16": torch.float16, "bfloat16": torch.bfloat16,
        "int32": torch.int32, "int64": torch.int64, "uint8": torch.uint8, "bool": torch.bool,
    }

    def convert(source, values, target):
        recipe = lambda rng: torch.tensor(values, dtype=names[source])
        recorder.stored(
            f"cast/{source}_to_{target}", "cast", lambda x: x.to(names[target]), [recipe], {"dtype": target}, made_by="torch"
        )

    fractions = [-2.75, -1.0, -0.5, 0.0, 0.5, 0.999, 1.0, 2.5, 99.99]
    for target in ("int32", "int64", "bool", "float64", "float16", "bfloat16"):
        convert("float32", fractions + [1.0 / 3.0, 1.00390625, 1.005859375], target)
    for target in ("float32", "int32", "int64", "bool", "float16", "bfloat16"):
        convert("float64", fractions + [1.0 / 3.0, 1 + 1e-12], target)
    convert("float32", [0.0, 0.9, 1.5, 254.999, 255.0], "uint8")
    for target in ("float32", "float64", "int64", "bool", "uint8"):
        convert("int32", [0, 1, 7, 255, 300, -1, 16777217, -2147483648], target)
    for target in ("float32", "float64", "int32", "bool"):
        convert("int64", [0, -1, 5, 2**31, 2**40 + 3, -(2**33) + 7], target)
    for target in ("float32", "int32", "int64", "bool"):
        convert("uint8", [0, 1, 128, 255], target)
        if target != "bool":
            convert("bool", [True, False, True], target)
    for half in ("float16", "bfloat16"):
        for target in ("float32", "float64", "int32"):
            convert(half, [-2.75, -0.5, 0.0, 0.333, 1.5, 100.0], target)

    # Rust's rule, which NumPy and torch leave open: floats saturate, NaN becomes 0
    beyond = [3e9, -3e9, np.inf, -np.inf, np.nan]
    recorder.stored(
        "cast/float32_to_int32_saturates", "cast",
        lambda x: np.array([2147483647, -2147483648, 2147483647, -2147483648, 0], np.int32), [given(beyond)], {"dtype": "int32"},
        made_by="rust's `as`",
    )
    recorder.stored(
        "cast/float32_to_uint8_saturates", "cast", lambda x: np.array([255, 0, 255, 0, 0], np.uint8), [given(beyond)],
        {"dtype": "uint8"}, made_by="rust's `as`",
    )
    recorder.stored(
        "cast/float32_to_bool_special", "cast", lambda x: np.array([True, True, False, False, True]),
        [given([np.nan, np.inf, 0.0, -0.0, 1e-40])], {"dtype": "bool"}, made_by="numpy",
    )
    recorder.stored(
        "cast/float32_to_float16_overflows", "cast", lambda x: torch.from_numpy(x).half(),
        [given([65504.0, 65519.0, 65520.0, 1e30, -np.inf, np.nan, 5.96e-8, 1e-9])], {"dtype": "float16"}, made_by="torch",
    )
