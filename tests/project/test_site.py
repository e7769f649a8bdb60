"""The pages of the site that are made from the code, and the release."""

from __future__ import annotations

import re
import runpy
import tomllib
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import pytest

import runstream
import runstream.model
import runstream.testing

ROOT: Final = Path(__file__).resolve().parents[2]
HOOKS: Final[dict[str, Any]] = runpy.run_path(str(ROOT / "docs" / "site_hooks.py"))


def test_every_public_name_is_on_one_page() -> None:
    """The API reference has each public name of the three packages once."""
    shown = Counter(re.findall(r"^::: (\S+)$", "\n".join(HOOKS["reference"]().values()), re.MULTILINE))
    assert max(shown.values()) == 1
    objects = {id(eval(path, {"runstream": runstream})) for path in shown}
    for package in (runstream, runstream.model, runstream.testing):
        for name in package.__all__:
            if name != "__version__":
                assert id(getattr(package, name)) in objects, f"{package.__name__}.{name}"


def test_a_module_without_a_part_is_an_error() -> None:
    """A new folder takes its place among the parts of the reference."""
    assert HOOKS["part_of"]("runstream.model.signals").file == "signals"
    assert HOOKS["part_of"]("runstream.model.step").file == "model"
    with pytest.raises(LookupError, match=r"runstream\.unknown"):
        HOOKS["part_of"]("runstream.unknown")


def test_a_reference_that_is_no_link_fails_the_build(caplog: pytest.LogCaptureFixture) -> None:
    """A page of the reference that shows the notation of docstrings is a warning: the strict build ends with it."""
    page = SimpleNamespace(file=SimpleNamespace(src_uri="reference/stream.md"))
    HOOKS["on_page_content"]('<p>See <a href="#run"><code>run</code></a>: a method</p>', page, None, None)
    assert caplog.records == []
    HOOKS["on_page_content"]("<p>See :meth:<code>run</code>.</p>", page, None, None)
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_every_page_is_in_the_navigation() -> None:
    """The navigation of the site names every page of the folder."""
    named = set(re.findall(r"[\w-]+\.md", (ROOT / "mkdocs.yml").read_text(encoding="utf-8")))
    assert {path.name for path in (ROOT / "docs").glob("*.md")} - {"api.md"} <= named


@pytest.mark.parametrize(
    ("page", "link", "anchor", "target"),
    [
        ("apps.md", "../examples/02_callbacks.py", "", "examples/02_callbacks.md"),
        ("apps.md", "../README.md", "#promises", "index.md"),
        ("apps.md", "store.md", "#a", "store.md#a"),
        ("apps.md", "api.md", "", "reference/index.md"),
        ("changelog.md", "docs/store.md", "#a", "store.md#a"),
        ("changelog.md", "README.md", "", "index.md"),
        ("examples/index.md", "01_watch.py", "", "01_watch.md"),
    ],
)
def test_links_of_a_clone_lead_into_the_site(page: str, link: str, anchor: str, target: str) -> None:
    """A link to a file outside the folder of the pages leads to the page that is made from it."""
    assert HOOKS["site_link"](link, anchor, page) == target


def test_the_version_is_one() -> None:
    """The package, the metadata and the newest section of the changelog have one version."""
    metadata = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert metadata["project"]["version"] == runstream.__version__
    sections = re.findall(r"^## \[([^]]+)\](.*)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    version, date = next(section for section in sections if section[0] != "Unreleased")
    assert version == runstream.__version__
    assert re.fullmatch(r" - \d{4}-\d{2}-\d{2}", date)


def test_the_site_loads_nothing_from_another_host() -> None:
    """Scripts of the configuration are files of the site; the plugin for offline sites adds one of another host."""
    config = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    (script,) = re.findall(r"polyfills: \[([^]]+)\]", config)
    assert "iframe-worker" in script
    assert (ROOT / "docs" / script).is_file()
    assert "font: false" in config
    assert "http" not in config
