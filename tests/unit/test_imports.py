"""Who may import whom, and who may read the environment."""

import ast
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import nbformat
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from helpers.settings import PREFIX, ROOT

HELPERS = ROOT / "helpers"
WINGS = ("datasets", "network", "methods", "show", "series")
MAY_IMPORT = {
    "settings": set(),
    "datasets": {"settings"},
    "network": {"datasets", "methods", "settings"},
    "methods": set(),
    "show": set(),
    "series": {"settings", "datasets", "network", "methods", "show"},
    "__main__": {"series"},
    "__init__": set(),
}
RELATIVE_ONLY = ("methods", "show")  # so that the folder can be copied

MODULES = sorted(HELPERS.rglob("*.py"))
ids = [str(path.relative_to(HELPERS)) for path in MODULES]
each_module = pytest.mark.parametrize("path", MODULES, ids=ids)


def room(path: Path) -> str:
    """Return the wing of a module, or its own name where it is in none."""
    return path.relative_to(HELPERS).with_suffix("").parts[0]


def imports(tree: ast.AST, path: Path) -> Iterator[tuple[str, bool]]:
    """Yield the full name of all that is imported, and whether that is done relatively."""
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, False) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *filter(None, [node.module])])
            yield from ((f"{module}.{alias.name}", node.level > 0) for alias in node.names)


def breaches(source: str, path: Path) -> list[str]:
    """Return the names that `path` imports and may not."""
    own = room(path)
    bad = []
    for name, relative in imports(ast.parse(source), path):
        first, *rest = name.split(".")
        if first != "helpers":
            continue
        other = rest[0] if rest else "helpers itself"
        inside = other == own and (relative or own not in RELATIVE_ONLY)
        if not inside and other not in MAY_IMPORT[own]:
            bad.append(name)
    return bad


def reads_settings(tree: ast.AST) -> list[str]:
    """Return the places where the environment is read for a setting, or for a computed name."""
    reads = ((node, key_read(node)) for node in ast.walk(tree))
    return [ast.unparse(node) for node, key in reads if key is not None and bad_key(key)]


def key_read(node: ast.AST) -> ast.expr | None:
    if isinstance(node, ast.Subscript) and ast.unparse(node.value).endswith("environ"):
        return node.slice
    if isinstance(node, ast.Call) and node.args:
        called = ast.unparse(node.func)
        if called.endswith(("getenv", "environ.get", "environ.pop")):
            return node.args[0]
    return None


def bad_key(key: ast.expr) -> bool:
    return not isinstance(key, ast.Constant) or str(key.value).startswith(PREFIX)


@each_module
def test_imports_run_as_the_design_says(path: Path):
    assert breaches(path.read_text(), path) == []


@each_module
def test_only_settings_reads_the_settings(path: Path):
    if room(path) != "settings":
        assert reads_settings(ast.parse(path.read_text())) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("settings.py", "from helpers.show import style"),
        ("datasets/load.py", "from ..network.models import build"),
        ("datasets/load.py", "import helpers.network.models as models"),
        ("network/training.py", "def f():\n    from helpers.show.curves import training_curves"),
        ("methods/metrics.py", "from helpers.methods.statistics import Interval"),
        ("methods/metrics.py", "from .. import settings"),
        ("show/curves.py", "from helpers import show"),
        ("show/curves.py", "import helpers"),
        ("__main__.py", "from helpers.network import models"),
    ],
)
def test_a_forbidden_import_is_seen(module: str, source: str):
    assert breaches(source, HELPERS / module)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("datasets/load.py", "from helpers.datasets.imageset import ImageSet"),
        ("datasets/load.py", "from .imageset import ImageSet"),
        ("methods/metrics.py", "from .statistics import Interval\nfrom . import layers"),
        ("network/training.py", "from ..methods.metrics import accuracy\nimport helpers.settings"),
        ("show/curves.py", "import matplotlib.pyplot as plt"),
    ],
)
def test_an_allowed_import_passes(module: str, source: str):
    assert breaches(source, HELPERS / module) == []


@pytest.mark.parametrize(
    "source",
    [
        "os.environ['SECOND_LOOK_SEED']",
        "environ.get('SECOND_LOOK_SEED', 0)",
        "os.getenv(name)",
    ],
)
def test_a_reading_of_the_environment_is_seen(source: str):
    assert reads_settings(ast.parse(source))


@pytest.mark.parametrize("wing", WINGS)
def test_a_wing_opens_with_a_docstring_and_no_more(wing: str):
    body = ast.parse((HELPERS / wing / "__init__.py").read_text()).body
    assert len(body) == 1
    assert isinstance(body[0], ast.Expr)


def listed(*files: str) -> set[str]:
    lines = [line for file in files for line in (ROOT / file).read_text().splitlines()]
    named = (line for line in lines if line and not line.startswith("#"))
    return {canonicalize_name(Requirement(line).name) for line in named}


def code(path: Path) -> str:
    """Return the Python of a module, or of a notebook's cells without their magics."""
    if path.suffix == ".py":
        return path.read_text()
    cells = (cell.source for cell in nbformat.read(path, as_version=4).cells if is_code(cell))
    lines = (line for source in cells for line in source.splitlines())
    return "\n".join(line for line in lines if not line.lstrip().startswith(("%", "!")))


def is_code(cell: nbformat.NotebookNode) -> bool:
    return cell.cell_type == "code" and not cell.source.startswith("%%")


@pytest.mark.parametrize(
    ("folder", "files"),
    [
        ("helpers", ["requirements.txt"]),
        ("notebooks", ["requirements.txt"]),
        ("tests", ["requirements.txt", "tests/requirements.txt"]),
    ],
)
def test_what_is_imported_is_required(folder: str, files: list[str]):
    paths = [path for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".ipynb")]
    names = {name for path in paths for name, _ in imports(ast.parse(code(path)), path)}
    packages = {name.partition(".")[0] for name in names} - {"helpers"}
    providers = packages_distributions()
    third = {name: set(map(canonicalize_name, providers.get(name, []))) for name in packages}
    assert [name for name, given in third.items() if given and not given & listed(*files)] == []
