"""Settings: YAML files that are checked completely before anything starts, whatever they configure.

Unknown keys are refused, with the nearest known one named; a key given twice is an error; `${VARIABLE}` and
`${VARIABLE:-default}` are filled from the environment; `--set key.path=value` overrides any key. Everything raises
`ConfigError`. What the keys are say `core.config` for runs and `core.train.config` for trainings.
"""

from __future__ import annotations

import difflib
import os
import re
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from core.errors import ConfigError

_EACH = "NAME"  # stands for the keys of a mapping in `config_keys`
_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
_SET_INDEX = re.compile(r"^\d+$")


class Strict(BaseModel):
    """Knows its keys and no others."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def read_mapping(
    path: str | Path, overrides: Sequence[str] = (), env: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The mapping of a YAML file, overridden and filled in but not yet checked. Raises ConfigError (`load_config`)."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            str(path), found=error.strerror or str(error), fix="give the path of a YAML configuration"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(str(path), found="bytes that are no text", expected="YAML in UTF-8") from error
    try:
        data = yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date such as 2000-13-01
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark else ""
        raise ConfigError(
            f"{path}{line}", found=str(getattr(error, "problem", error)), expected="valid YAML"
        ) from error
    if not isinstance(data, dict):
        raise ConfigError(
            str(path), found=type(data).__name__, expected="a mapping of keys such as name, year, inventory"
        )
    for override in overrides:
        _apply_override(data, override)
    filled: dict[str, Any] = _fill_variables(data, os.environ if env is None else env, str(path))
    return filled


def config_keys(root: type[BaseModel]) -> list[str]:
    """Every key with its default and meaning, one per line: what `--keys` of a verb prints."""
    return list(_describe(root, ""))


def explain(error: ValidationError, where: str, root: type[BaseModel]) -> ConfigError:
    """What pydantic found, as one error that names the key and, for an unknown one, the nearest known."""
    # A mistyped key is both unknown and missing; the unknown one tells more.
    first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    key = ".".join(str(p) for p in first["loc"])
    if first["type"] == "extra_forbidden":
        known = _known_keys(first["loc"][:-1], root)
        near = difflib.get_close_matches(str(first["loc"][-1]), known, n=1, cutoff=0.5)
        fix = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
        return ConfigError(f"{where}: {key}", found="an unknown key", fix=fix)
    if first["type"] == "missing":
        return ConfigError(f"{where}: {key}", found="nothing", expected="this key, which has no default")
    found = repr(first.get("input"))
    return ConfigError(
        f"{where}: {key or 'configuration'}", found=found[:120], expected=first["msg"].removeprefix("Value error, ")
    )


def _known_keys(path: tuple[int | str, ...], root: type[BaseModel]) -> list[str]:
    model = root
    for part in path:
        # What is no field is a number in a list, or a key in a mapping of names.
        field = model.model_fields.get(str(part))
        model = (_model_in(field.annotation) if field else None) or model
    return sorted(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if typing.get_origin(annotation) in (list, dict, typing.Union, types.UnionType, Annotated):
        for inner in typing.get_args(annotation):
            model = _model_in(inner)
            if model is not None:
                return model
    return None


def _describe(model: type[BaseModel], prefix: str) -> typing.Iterator[str]:
    for name, field in model.model_fields.items():
        inner = _model_in(field.annotation)
        if inner is not None:
            container = typing.get_origin(field.annotation)
            many = "[]" if container is list else f".{_EACH}" if container is dict else ""
            yield from _describe(inner, f"{prefix}{name}{many}.")
            continue
        default = "required" if field.is_required() else f"default {field.get_default(call_default_factory=True)!r}"
        yield f"{prefix}{name}  ({default})" + (f"  {field.description}" if field.description else "")


class _Loader(yaml.SafeLoader):
    """YAML that refuses a key given twice, where PyYAML would silently drop the first."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                if key.value in seen:
                    problem = f"key {key.value!r} a second time"
                    raise yaml.constructor.ConstructorError(problem=problem, problem_mark=key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def _apply_override(data: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set {override}", found="no '='", expected="key.path=value, e.g. output=s3://bucket/runs")
    try:
        value = yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"--set {override}", found=text, expected="a YAML value") from error
    *parents, last = key.split(".")
    node: Any = data
    for part in parents:
        if isinstance(node, list) and _SET_INDEX.match(part) and int(part) < len(node):
            node = node[int(part)]
        elif isinstance(node, dict):
            child = node.get(part)
            if child is None:
                child = node[part] = {}
            node = child
        else:
            raise ConfigError(f"--set {override}", found=f"no key {part!r}", expected="a path of keys that exist")
    if isinstance(node, list) and _SET_INDEX.match(last) and int(last) < len(node):
        node[int(last)] = value
    elif isinstance(node, dict):
        node[last] = value
    else:
        raise ConfigError(f"--set {override}", found=f"no key {last!r}", expected="a path of keys that exist")


def _fill_variables(value: Any, env: Mapping[str, str], where: str) -> Any:
    if isinstance(value, dict):
        return {k: _fill_variables(v, env, where) for k, v in value.items()}
    if isinstance(value, list):
        return [_fill_variables(v, env, where) for v in value]
    if not isinstance(value, str):
        return value

    def fill(match: re.Match[str]) -> str:
        found = env.get(match[1]) or match[2]
        if found is None:
            raise ConfigError(
                where, found=f"${{{match[1]}}} in {value!r}, not set or empty", fix=f"export {match[1]}=… first"
            )
        return found

    return _VARIABLE.sub(fill, value)
