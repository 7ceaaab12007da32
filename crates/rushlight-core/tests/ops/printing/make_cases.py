"""Writes cases.txt: arrays and how NumPy prints them. Run with NumPy 2.4; the test next door prints the same arrays.

One case: a line `# dtype shape`, a line of the elements (Python's repr of them), NumPy's text, an empty line after it.
An element list may be a recipe instead: `range N start step` for evenly spaced numbers.
"""

import numpy as np

rng = np.random.default_rng(5)
cases = []


def case(array, recipe=None):
    elements = recipe or " ".join(repr(float(x)) if array.dtype.kind == "f" else str(int(x)) for x in array.ravel())
    shape = ",".join(str(size) for size in array.shape)
    cases.append(f"# {array.dtype} {shape}\n{elements}\n{array!s}\n\f")


def floats(values, *dtypes):
    for dtype in dtypes or (np.float32, np.float64):
        case(np.array(values, dtype))


def numbers(start, step, *shape, dtype=np.float64):
    count = int(np.prod(shape))
    case((start + step * np.arange(count)).astype(dtype).reshape(shape), f"range {count} {start} {step}")


floats([1.0, 2.0, 3.0])
floats([[1.5, -2.25], [3.0, 100.125]])
floats([0.1, 0.2, 0.30000000000000004])
floats([1 / 3, 2 / 3, 1e-3])
floats([np.nan, 1.0, -np.inf])
floats([np.nan, np.inf])
floats([np.inf, 123.456])
floats([0.0, -0.0])
floats([1e-5, 1.0])
floats([1e8, 1.0])
floats([123456.0, 12.5])
floats([1234567.0, 1234568.0])
floats([1e10, 1.0, -1e-10])
floats([1e100, 1e-100], np.float64)
floats([1e300, 1.0, np.nan], np.float64)
floats([0.00012, 0.5])
floats([999.0, 1.0])
floats([1001.0, 1.0])
floats([123.456789012345, 0.987654321])
floats(rng.normal(size=(3, 4)))
floats(rng.normal(size=(2, 3, 2)))
floats(rng.normal(size=(2, 1, 2, 2)) * 1e-3)
floats(rng.normal(size=(4, 3)) * 10.0 ** rng.integers(-6, 6, (4, 3)))
floats(rng.random(30))
floats(rng.random((3, 25)))
floats(3.5)
floats(-2.0)
floats(1e-7)
floats(1e16)
floats(123456789.125)
floats(np.nan)
floats([[]])
floats([2.5, 1 / 3, 1000.0, -7.0], np.float16)
floats([6e4, 1e-3], np.float16)
floats(0.1, np.float16)
for dtype in (np.int32, np.int64, np.uint8):
    case(np.array([1, 20, 150], dtype))
    case(np.array([[7]], dtype))
    case(np.array(42, dtype))
case(np.array([-1, 1000000, 3]))
case(np.arange(-30, 30, dtype=np.int32))
case(np.array([True, False, True]))
case(np.array([[True, True], [True, True]]))
case(np.array(True))
numbers(0, 1, 1000, dtype=np.int64)
numbers(0, 1, 1001, dtype=np.int64)
numbers(-5, 0.25, 2000)
numbers(0, 1, 40, 50, dtype=np.int32)
numbers(0, 0.1, 12, 12, 12, dtype=np.float32)
numbers(0, 1, 1200, 2, dtype=np.float32)
numbers(0, 1, 2, 3, 400, dtype=np.float32)
numbers(1, 1, 7, 200, dtype=np.int64)
numbers(1e-3, 1e-3, 6, 200)
open(__file__.replace("make_cases.py", "cases.txt"), "w").write("".join(cases))
print(len(cases), "cases")
