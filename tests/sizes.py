"""`python -m tests.sizes`: how long functions and modules are, beside what STYLE asks for. Part of `make check`.

Fails on a function over 60 lines or a module over 500; the rest is a report to look at.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from statistics import median, quantiles

PACKAGES = ("bot", "generators", "storage")
FUNCTION_LINES_MAX = 60
MODULE_LINES_MAX = 500


def functions(path: Path) -> list[tuple[int, str]]:
    """(lines, name) of each function, its docstring left out."""
    return [
        (length(node), f"{path}:{node.lineno} {node.name}")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    lines = (node.end_lineno or node.lineno) - node.lineno + 1
    first = node.body[0]
    if (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    ):
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


def main() -> int:
    paths = [path for package in PACKAGES for path in sorted(Path(package).rglob("*.py"))]
    modules = [(len(path.read_text(encoding="utf-8").splitlines()), str(path)) for path in paths]
    found = [each for path in paths for each in functions(path)]
    lines = [size for size, _ in found]
    print(f"{len(modules)} modules, {sum(size for size, _ in modules)} lines, longest {max(modules)}")
    middle, most = median(lines), quantiles(lines, n=10)[-1]
    print(f"{len(found)} functions: median {middle:.0f}, p90 {most:.0f}, longest {max(found)}")
    too_long = [each for each in found if each[0] > FUNCTION_LINES_MAX]
    too_long += [each for each in modules if each[0] > MODULE_LINES_MAX]
    for size, where in too_long:
        print(f"too long ({size} lines): {where}")
    return 1 if too_long else 0


if __name__ == "__main__":
    sys.exit(main())
