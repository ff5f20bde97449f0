"""The constants of CPU from which `derived-statsd size` computes, beside what a benchmark has just measured."""
import re
import sys
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent / "daemon/src/commands/size/measured.rs"
# `size` is right within a factor of two, says docs/src/operations/sizing.md.
FACTOR = 2


def constant(name):
    """A constant of the source."""
    found = re.search(rf"const {name}: \w+ = ([\d_.]+);", SOURCE.read_text())
    if not found:
        sys.exit(f"{SOURCE} has no constant {name}")
    return float(found[1].replace("_", ""))


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def compare(figures, factor=FACTOR):
    """Prints a table of measured values, given by the name of their constants with a text; gives the names of those that
    are further from their constant than the factor, in either direction."""
    print("\n| of `size` | constant | measured | measured / constant |\n|---|---|---|---|")
    wrong = []
    for name, (text, measured) in figures.items():
        ratio = measured / constant(name)
        print(f"| {text}, `{name}` | {number(constant(name))} | {number(measured)} | {ratio:.2f} |")
        if not 1 / factor <= ratio <= factor:
            wrong.append(name)
    return wrong


def check(figures):
    """Compares, and ends the program if a constant is wrong."""
    if wrong := compare(figures):
        sys.exit(f"WRONG: {', '.join(wrong)}: off by more than a factor of {FACTOR}, so `derived-statsd size` is. If the "
                 f"machine is not a slow one, measure again on a quiet one, then change {SOURCE.name}, the pages that a test "
                 "compares with it, and docs/src/operations/sizing.md.")
