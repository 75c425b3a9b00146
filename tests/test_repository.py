"""The repository keeps its own rules: layout, locks, Quick start, sizes, declared imports, reasoned suppressions."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
LOCKS = ("requirements.lock", "requirements-dev.lock")
CORE = ("domain", "market", "scoring", "signals", "portfolio", "engine")
TOP_LEVEL = {
    ".ci",
    ".editorconfig",
    ".gitattributes",
    ".gitignore",
    "CHANGELOG.md",
    "LICENSE",
    "README.md",
    "config",
    "docs",
    "pyproject.toml",
    "requirements-dev.lock",
    "requirements.lock",
    "tests",
    "zmart.toml",
    "zmart_stream",
}
# written apart so that this file does not name what it forbids
REGISTRY_HOSTS = re.compile(
    "|".join(
        r"\.".join(labels.split())
        for labels in (
            "pypi org",
            "pythonhosted org",
            "npmjs (?:org|com)",
            "deb debian org",
            "crates io",
            "proxy golang org",
        )
    ),
    re.IGNORECASE,
)
MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 60


def tracked_files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=CHECKOUT, capture_output=True, check=True, text=True).stdout
    return [path for name in listed.split("\0") if name and (path := CHECKOUT / name).is_file()]


def source_files() -> list[Path]:
    return sorted((CHECKOUT / "zmart_stream").rglob("*.py"))


def pyproject() -> dict[str, dict]:
    return tomllib.loads((CHECKOUT / "pyproject.toml").read_text())


def entries(lock: str) -> list[str]:
    """The requirements of a lock file, each with its continuation lines."""
    return (CHECKOUT / lock).read_text().replace("\\\n", " ").splitlines()


def pins(lock: str) -> dict[str, set[str]]:
    """The entries of each package; there is more than one where a kind of machine needs another version."""
    found: dict[str, set[str]] = {}
    for entry in entries(lock):
        found.setdefault(entry.partition("==")[0], set()).add(entry)
    return found


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def requirement_names(requirements: list[str]) -> set[str]:
    return {normal(re.match(r"[\w.-]+", requirement)[0]) for requirement in requirements}


def quick_start() -> list[str]:
    readme = (CHECKOUT / "README.md").read_text()
    section = re.search(r"^## Quick start\n(.*?)(?=^## |\Z)", readme, re.MULTILINE | re.DOTALL)
    assert section, "README.md has no section '## Quick start'"
    block = re.search(r"^```\w*\n(.*?)^```", section[1], re.MULTILINE | re.DOTALL)
    assert block, "the Quick start has no fenced block"
    return block[1].splitlines()


def set_up_with(lock: str) -> str:
    return (
        "python3 -m venv .venv"
        f" && .venv/bin/pip install -q --no-deps --require-hashes --only-binary :all: -r {lock}"
        " && .venv/bin/pip install -q --no-deps --no-build-isolation -e ."
    )


def test_top_level_holds_only_what_the_layout_names() -> None:
    assert {path.relative_to(CHECKOUT).parts[0] for path in tracked_files()} <= TOP_LEVEL


@pytest.mark.parametrize("name", ["zmart_stream", "config", "tests", "pyproject.toml", "zmart.toml", "README.md"])
def test_top_level_has_what_was_asked_for(name: str) -> None:
    assert (CHECKOUT / name).exists()


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_requirement_is_pinned_and_hashed(lock: str) -> None:
    hashed = re.compile(r"[a-z0-9-]+==\S+ (?:; .+? )? *(?:--hash=sha256:[0-9a-f]{64}\s*)+")
    loose = [entry[:60] for entry in entries(lock) if not hashed.fullmatch(entry)]
    assert not loose
    assert "://" not in (CHECKOUT / lock).read_text()


def test_both_locks_pin_the_same_versions() -> None:
    development = pins("requirements-dev.lock")
    assert {name: development.get(name) for name in pins("requirements.lock")} == pins("requirements.lock")


def test_locks_hold_every_declared_requirement() -> None:
    settings = pyproject()
    project = settings["project"]
    build = settings["build-system"]["requires"]
    needed = requirement_names(project["dependencies"] + build)
    assert needed <= pins("requirements.lock").keys()
    development = [name for name in project["optional-dependencies"]["dev"] if not name.startswith("zmart-stream")]
    assert needed | requirement_names(development) <= pins("requirements-dev.lock").keys()
    assert set(build) <= set(settings["dependency-groups"]["build"])


def test_no_tracked_file_names_a_package_registry() -> None:
    naming = []
    for path in tracked_files():
        text = path.read_bytes().decode("utf-8", errors="replace")
        naming += [f"{path.relative_to(CHECKOUT)}: {match[0]}" for match in REGISTRY_HOSTS.finditer(text)]
    assert not naming


def test_no_lock_file_records_download_addresses() -> None:
    forbidden = {"uv.lock", "poetry.lock", "pdm.lock", "pylock.toml", "Pipfile.lock", "package-lock.json", "yarn.lock"}
    assert not forbidden & {path.name for path in tracked_files()}


def test_quick_start_is_two_commands() -> None:
    run, test = quick_start()
    assert run == f"{set_up_with('requirements.lock')} && .venv/bin/zmart-stream run --sandbox"
    assert test == f"{set_up_with('requirements-dev.lock')} && .venv/bin/pytest"


def test_changelog_has_an_unreleased_section() -> None:
    assert "\n## [Unreleased]\n" in (CHECKOUT / "CHANGELOG.md").read_text()


def test_modules_and_functions_stay_small() -> None:
    large = []
    for path in source_files():
        text = path.read_text()
        lines = len(text.splitlines())
        if lines > MAX_MODULE_LINES:
            large.append(f"{path.relative_to(CHECKOUT)}: {lines} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                size = node.end_lineno - node.lineno + 1
                if size > MAX_FUNCTION_LINES:
                    large.append(f"{path.relative_to(CHECKOUT)}:{node.lineno}: {node.name} has {size} lines")
    assert not large


def imported_packages(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.partition(".")[0]


def test_imports_are_declared() -> None:
    project = pyproject()["project"]
    extras = [names for extra, names in project["optional-dependencies"].items() if extra != "dev"]
    declared = requirement_names(sum(extras, project["dependencies"]))
    providers = packages_distributions()
    undeclared = {
        f"{path.relative_to(CHECKOUT)}: {package}"
        for path in source_files()
        for package in imported_packages(path)
        if package not in sys.stdlib_module_names | {"zmart_stream"}
        and not declared & {normal(name) for name in providers.get(package, [package])}
    }
    assert not undeclared


def test_every_core_package_stands_under_the_core_contract() -> None:
    contracts = {contract["id"]: contract for contract in pyproject()["tool"]["importlinter"]["contracts"]}
    present = {f"zmart_stream.{name}" for name in CORE if (CHECKOUT / "zmart_stream" / name).is_dir()}
    assert present == set(contracts["core"]["source_modules"])


def test_core_multiplies_no_matrices() -> None:
    """BLAS sums in an order of its own: committed state is built with einsum or ordered sums."""
    found = [
        f"{path.relative_to(CHECKOUT)}:{node.lineno}"
        for name in CORE
        for path in sorted((CHECKOUT / "zmart_stream" / name).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.MatMult)
    ]
    assert not found


def test_every_suppression_carries_its_rule_and_a_reason() -> None:
    reasoned = re.compile(r"# (?:noqa: [A-Z]+\d+(?:, ?[A-Z]+\d+)*|type: ignore\[[\w, -]+\])\s+\W*\w{2,}")
    bare = [
        f"{path.relative_to(CHECKOUT)}:{number}"
        for path in tracked_files()
        if path.suffix == ".py" and path != Path(__file__).resolve()
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(r"#\s*(?:noqa|type:\s*ignore)\b", line) and not reasoned.search(line)
    ]
    assert not bare
