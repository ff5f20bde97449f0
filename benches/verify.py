"""Whether two systems' results of the common job agree. Rows are `key,attr,window,…` without a header, in any order."""
import math
import os
import subprocess
from itertools import zip_longest

# Engines may add in another order and print with fewer digits. Where the sum nearly equals the mean, sigma is a
# difference of close numbers, so the same tolerance serves absolutely too.
TOLERANCE = 1e-9


class Problem(Exception):
    """A difference, in words."""


def totals(path):
    """For each window the number of rows and the sum of the fourth column."""
    windows = {}
    with open(path) as rows:
        for line in rows:
            cells = line.split(",", 4)
            count, total = windows.get(cells[2], (0, 0.0))
            windows[cells[2]] = (count + 1, total + float(cells[3]))
    return windows


def check_totals(reference, output):
    """Raises if a window has another number of rows or another total, or if there are no rows at all."""
    expected, actual = totals(reference), totals(output)
    if not expected:
        raise Problem("the reference has no rows")
    for window in sorted(expected.keys() | actual.keys()):
        if expected.get(window) != actual.get(window):
            raise Problem(f"window {window}: (rows, sum) {actual.get(window)} instead of {expected.get(window)}")


def ordered(path, directory):
    """The rows in the order of key, attribute and window, sorted on disk so that this process stays small."""
    result = directory / f"{path.name}.sorted"
    command = ["sort", "-t,", "-k1,3", "-T", directory, "-o", result, path]
    subprocess.run([str(part) for part in command], check=True, env={**os.environ, "LC_ALL": "C"})
    return result


def check_rows(reference, system, directory):
    """Raises at the first row that differs in its names, sum, mean, deviation or sigma."""
    left, right = ordered(reference.output, directory), ordered(system.output, directory)
    with open(left) as expected, open(right) as actual:
        for number, (one, other) in enumerate(zip_longest(expected, actual, fillvalue=""), start=1):
            difference = differs(one.rstrip("\n").split(","), other.rstrip("\n").split(","), reference, system)
            if difference:
                raise Problem(f"sorted row {number}: {difference}: {other.strip()!r} instead of {one.strip()!r}")
    for path in {left, right}:
        path.unlink()


def differs(one, other, reference, system):
    if one[:3] != other[:3]:
        return "other names"
    for name, left, right in zip(("sum", "mean", "deviation", "sigma"), reference.columns, system.columns):
        if not math.isclose(float(one[left]), float(other[right]), rel_tol=TOLERANCE, abs_tol=TOLERANCE):
            return f"another {name}"
    return ""
