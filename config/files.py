"""YAML files that a person wrote, and what may be wrong with them."""

from pathlib import Path
from typing import Any

import yaml

from models.errors import ShoalError


class SettingsError(ShoalError):
    """A setting cannot be used; the message names it and what it takes."""


class _OnceLoader(yaml.SafeLoader):
    """Safe, and strict: a name that stands twice would hide what stands first."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - PyYAML's signature
        """A mapping whose keys differ."""
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, "a name that stands above already", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _reason(error: Exception) -> str:
    """What is wrong and where; what the file says there is kept back, it may be a password."""
    if isinstance(error, yaml.MarkedYAMLError) and (mark := error.problem_mark):
        problem = (error.problem or "").partition("'")[0].strip()
        return f"line {mark.line + 1}, column {mark.column + 1}: {problem}"
    return str(error) if isinstance(error, OSError | UnicodeError) else type(error).__name__


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping that a file holds; an empty file holds none.

    Raises
    ------
    SettingsError
        The file cannot be read, is no YAML, or holds something else.
    """
    try:
        content: Any = yaml.load(path.read_text(encoding="utf-8"), _OnceLoader)  # noqa: S506 - a kind of SafeLoader
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise SettingsError(f"{path} is not readable YAML: {_reason(error)}") from None
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise SettingsError(f"{path} must hold names and values, `name: value` on each line")
    return content
