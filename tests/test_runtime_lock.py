"""What `requirements.lock` installs is enough: no module needs a package that only developers or an extra have."""

import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent

IMPORT_ALL = """
import importlib, pkgutil, re, sys
from importlib.metadata import packages_distributions

def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()

LOCKED = {normal(line.partition("==")[0]) for line in open("requirements.lock") if "==" in line}
PROVIDERS = packages_distributions()

class OnlyLocked:
    def find_spec(self, name, path=None, target=None):
        providers = PROVIDERS.get(name.partition(".")[0], ["zmart-stream"])
        if not {normal(provider) for provider in providers} & {*LOCKED, "zmart-stream"}:
            raise ModuleNotFoundError(name, name=name)

sys.path.insert(0, ".")
sys.meta_path.insert(0, OnlyLocked())
import zmart_stream
for module in pkgutil.walk_packages(zmart_stream.__path__, "zmart_stream."):
    if module.name.endswith(("migrations.env", ".__main__")) or module.name in sys.argv[1:]:
        continue
    try:
        importlib.import_module(module.name)
    except ModuleNotFoundError as error:
        print(module.name, error)
"""
WITH_AN_EXTRA = ["zmart_stream.sandbox.tls"]


def imported(*without: str) -> str:
    command = [sys.executable, "-c", IMPORT_ALL, *without]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, check=True, text=True).stdout


def test_every_module_but_those_of_an_extra_imports_with_the_runtime_lock_alone() -> None:
    assert imported(*WITH_AN_EXTRA) == ""
