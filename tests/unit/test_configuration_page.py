"""The page on configuration says everything that can be configured."""

from pathlib import Path

import msgspec
import pytest

from zeropool.shared.config import Config, ModelSettings

PAGE = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text()


def section(heading: str) -> str:
    return PAGE.split(f"## `{heading}`\n")[1].split("\n## ")[0]


@pytest.mark.parametrize("name", ["gateway", "worker", "serve", "http", "log"])
def test_every_key_of_a_section_stands_on_the_page(name):
    settings = getattr(Config(), name)

    keys = [field.name for field in msgspec.structs.fields(settings)]

    assert [key for key in keys if f"`{key}`" not in section(f"[{name}]")] == []


def test_every_key_of_a_model_stands_on_the_page():
    keys = [field.name for field in msgspec.structs.fields(ModelSettings)]

    assert [key for key in keys if f"`{key}`" not in section("[[models]]")] == []
