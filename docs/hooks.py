"""Pages of the site that follow from the code: methods, configuration keys and commands.

MkDocs calls the functions `on_...`. The `README.md` of a method's folder becomes a page in the section of the
methods, and links from and to it are rewritten, so that they also work in the repository. In a page,
`<!-- configuration -->`, `<!-- commands -->` and `<!-- floors -->` are replaced by tables made from
`config/schema.json`, from the help of the command `pipeline`, and from the layers in `pyproject.toml` with
the docstrings of their packages.
"""

from __future__ import annotations

import ast
import json
import posixpath
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
METHOD_READMES = sorted((ROOT / "src/pipeline/methods").glob("*/README.md"))
OVERVIEW = "methods/index.md"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List the pages of the methods in the section of the methods."""
    pages = next(
        part for section in config.nav or [] for part in section.values() if part and part[0] == OVERVIEW
    )
    pages += map(_method_page, METHOD_READMES)
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the methods."""
    for path in METHOD_READMES:
        content = path.read_text().replace("../../../../docs/", "../")
        content = re.sub(r"\]\(\.\./(\w+)/README\.md", r"](\1.md", content)
        files.append(File.generated(config, _method_page(path), content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Fill in the parts that are generated, and point links to a method's folder at its page."""
    to_methods = posixpath.relpath("methods", posixpath.dirname(page.file.src_uri))
    link = r"\]\((?:\.\./)+src/pipeline/methods/(\w+)/README\.md"
    markdown = re.sub(link, rf"]({to_methods}/\1.md", markdown)
    markdown = re.sub("<!-- configuration -->", lambda _: "\n".join(_configuration()), markdown)
    markdown = re.sub("<!-- floors -->", lambda _: "\n".join(_floors()), markdown)
    markdown = re.sub("<!-- metrics -->", lambda _: _metrics(), markdown)
    return re.sub("<!-- commands -->", lambda _: "\n".join(_commands()), markdown)


def _method_page(readme: Path) -> str:
    return f"methods/{readme.parent.name}.md"


def _floors() -> Iterator[str]:
    """Yield a table of the rooms, from the highest floor to the lowest."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = project["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    yield "| floor | room | content |\n|---|---|---|"
    for floor, layer in zip(range(len(layers), 0, -1), layers, strict=True):
        for room in layer.split(" | "):
            package = ROOT / "src/pipeline" / room
            yield from _room(floor, package if package.is_dir() else package.with_suffix(".py"))


def _room(floor: int, path: Path) -> Iterator[str]:
    """Yield the row of a room, and of the rooms within; methods have pages of their own."""
    module = path / "__init__.py" if path.is_dir() else path
    summary = (ast.get_docstring(ast.parse(module.read_text())) or "").partition("\n\n")[0]
    name = path.relative_to(ROOT / "src/pipeline").as_posix() + ("/" if path.is_dir() else "")
    yield f"| {floor} | `{name}` | {' '.join(summary.split())} |"
    if path.is_dir() and path.name != "methods":
        for inner in sorted(path.glob("*/__init__.py")):
            yield from _room(floor, inner.parent)


def _metrics() -> str:
    """Return the table of metrics."""
    from pipeline.core.quality.metrics import markdown_table

    return markdown_table()


def _configuration() -> Iterator[str]:
    """Yield a table of keys for the experiment and for each of its parts."""
    schema = json.loads((ROOT / "config/schema.json").read_text())
    yield from _keys("An experiment", schema)
    for name, part in sorted(schema["$defs"].items()):
        yield from _keys(name, part)


def _keys(title: str, part: dict[str, Any]) -> Iterator[str]:
    yield f"\n## {title}\n\n{part.get('description', '')}\n"
    yield "| key | type | default | meaning |\n|---|---|---|---|"
    for key, value in part.get("properties", {}).items():
        given = value.get("default", {})
        default = "" if isinstance(given, dict) else f"`{json.dumps(given)}`"
        if key in part.get("required", []):
            default = "required"
        meaning = " ".join(value.get("description", "").split())
        yield f"| `{key}` | {_type(value)} | {default} | {meaning} |".replace("||", "| |")


def _type(value: dict[str, Any]) -> str:
    """Describe the type of a key in words and links, for a cell of a table."""
    if "$ref" in value:
        name = value["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "const" in value or "enum" in value:
        return ", ".join(f"`{choice}`" for choice in value.get("enum", [value.get("const")]))
    if "anyOf" in value or "oneOf" in value:
        kinds = map(_type, value.get("anyOf", value.get("oneOf", [])))
        return " or ".join(dict.fromkeys(kind for kind in kinds if kind != "null"))
    if value.get("type") == "array":
        items = value.get("items") or next(iter(value.get("prefixItems", [])), {})
        return f"list of {_type(items)}" if items else "list"
    if value.get("type") == "object":
        named = next(iter(value.get("patternProperties", {}).values()), value.get("additionalProperties"))
        return f"name: {_type(named)}" if isinstance(named, dict) and named else "mapping"
    return str(value.get("type", "any value"))


def _commands() -> Iterator[str]:
    """Yield the usage and the options of each command."""
    import typer
    from typer.main import get_command

    from pipeline.cli.app import app

    top = get_command(app)
    yield from _help(typer.Context(top, info_name="pipeline"), level=2)


def _help(context: Any, level: int) -> Iterator[str]:
    command = context.command
    for name in command.list_commands(context):
        sub = command.get_command(context, name)
        inner = type(context)(sub, info_name=name, parent=context)
        yield f"\n{'#' * level} {inner.command_path}\n\n{sub.help or ''}\n"
        if hasattr(sub, "list_commands"):
            yield from _help(inner, level + 1)
            continue
        yield f"    {inner.get_usage().removeprefix('Usage: ')}\n"
        records = filter(None, (parameter.get_help_record(inner) for parameter in sub.get_params(inner)))
        rows = [
            f"| `{option}` | {' '.join(text.split())} |" for option, text in records if option != "--help"
        ]
        if rows:
            yield "\n".join(["| option | meaning |\n|---|---|", *rows])
