"""Settings from files, environment and options, each with where it was found.

Knows how tables, environment variables and option values become settings of the types that the
sections declare, and how to say what is wrong with one: source, dotted key, value, what is
allowed. Refuses to know which sections there are (`config` does) or which layer wins.
"""

from __future__ import annotations

import difflib
import json
import re
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from zeropool.shared.errors import ConfigError

ENV_PREFIX = "ZEROPOOL_"

#: Longest value in an error message, in characters: an endpoint fits, a pasted file does not.
MAX_SHOWN_CHARS = 200

#: How alike a name is that may have been meant, as `difflib` measures: `bnid` for `bind` is.
NEAR_ENOUGH = 0.7

#: Kubernetes sets such variables in every pod beside a service named `zeropool` or
#: `zeropool-gateway`. No setting has such a name.
_SERVICE_LINK = re.compile(
    ENV_PREFIX + r"([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)"
)
_SERVICE_LINK_PORT = re.compile(ENV_PREFIX + r"([A-Z0-9_]+_)?PORT=(tcp|udp|sctp)://.*", re.DOTALL)

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+")


class Found(msgspec.Struct, frozen=True):
    """A converted setting and its place: `zeropool.toml: gateway.bind`."""

    value: Any  # of the type that the setting's section declares
    where: str


#: What one source says, by dotted key; `|` lays one over another.
Layer = dict[str, Found]


class _Field(msgspec.Struct, frozen=True):
    """One setting as its section declares it."""

    type: Any  # a type form, possibly Annotated
    default: Any  # msgspec.NODEFAULT if it must be given

    @property
    def item_type(self) -> Any | None:  # noqa: ANN401 - type forms have no type of their own
        """The type of an item if this is a list, else None."""
        if typing.get_origin(self.type) is not tuple:
            return None
        return typing.get_args(self.type)[0]


def _fields(section: type[msgspec.Struct]) -> dict[str, _Field]:
    return {f.name: _Field(f.type, f.default) for f in msgspec.structs.fields(section)}


@dataclass(frozen=True, slots=True)
class Schema:
    """Which settings there are.

    `sections` are tables, `arrays` are arrays of tables, by name. `checks` are by dotted key,
    apply to each item of a list and not to a default, and raise `ValueError` with what they
    expect.
    """

    sections: Mapping[str, type[msgspec.Struct]]
    arrays: Mapping[str, type[msgspec.Struct]]
    checks: Mapping[str, Callable[[Any], object]]

    def from_tables(
        self, tables: Mapping[str, Any], source: str, prefix: str = "", apart: Iterable[str] = ()
    ) -> Layer:
        """The settings of parsed TOML; `apart` names the keys that the caller reads itself."""
        layer: Layer = {}
        for name, table in tables.items():
            where = f"{source}: {prefix}{bare_key(name)}"
            if name in self.sections:
                layer |= self._from_section(name, table, where)
            elif name in self.arrays:
                layer[name] = self._from_array(name, table, where)
            elif name not in apart:
                raise unknown(where, "key", name, [*self.sections, *self.arrays, *apart])
        return layer

    def from_environ(self, environ: Mapping[str, str], ignored: Callable[[str], bool]) -> Layer:
        """The settings of all `ZEROPOOL_…` variables but those that are `ignored`."""
        names = {
            f"{ENV_PREFIX}{section}_{key}".upper(): (section, key)
            for section, declared in self.sections.items()
            for key in _fields(declared)
        }
        layer: Layer = {}
        for variable, text in environ.items():
            if not variable.startswith(ENV_PREFIX) or ignored(variable):
                continue
            where = f"environment variable {variable}"
            if variable in names:
                section, key = names[variable]
                found = self._from_text(section, key, text, f"{where}: {section}.{key}")
                layer[f"{section}.{key}"] = found
            elif not _is_service_link(variable, text):
                raise unknown(where, "variable", variable, names)
        return layer

    def from_flags(self, flags: Mapping[str, object], option_names: Mapping[str, str]) -> Layer:
        """The settings of options by dotted key; None is an option that was not given."""
        layer: Layer = {}
        for dotted, value in flags.items():
            if value is None:
                continue
            where = f"{option_names.get(dotted, 'option')}: {dotted}"
            section, _, key = dotted.partition(".")
            if key not in _fields(self.sections.get(section, msgspec.Struct)):
                known = [
                    f"{s}.{k}" for s, declared in self.sections.items() for k in _fields(declared)
                ]
                raise unknown(where, "key", dotted, known)
            layer[dotted] = self._from_text(section, key, value, where)
        return layer

    def build(self, name: str, layer: Layer) -> Any:  # noqa: ANN401 - of the type sections[name]
        """The section `name` with the layer's settings, and its defaults for the rest."""
        section = self.sections[name]
        given = {key: layer.get(f"{name}.{key}") for key in _fields(section)}
        return section(**{key: found.value for key, found in given.items() if found is not None})

    def _from_section(self, name: str, table: object, where: str) -> Layer:
        if not isinstance(table, dict):
            raise wrong(where, table, f"expected a table, [{name}]")
        fields = _fields(self.sections[name])
        layer: Layer = {}
        for key, value in table.items():
            place = f"{where}.{bare_key(key)}"
            if key not in fields:
                raise unknown(place, "key", key, fields)
            layer[f"{name}.{key}"] = self._found(f"{name}.{key}", fields[key], value, place)
        return layer

    def _from_array(self, name: str, rows: object, where: str) -> Found:
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise wrong(where, rows, f"expected an array of tables, [[{name}]]")
        if not rows:
            raise wrong(where, rows, f"expected at least one [[{name}]] table, or none and no key")
        entries = [self._entry(name, row, f"{where}[{at}]") for at, row in enumerate(rows)]
        return Found(tuple(entries), where)

    def _entry(self, name: str, row: dict[str, object], where: str) -> msgspec.Struct:
        fields = _fields(self.arrays[name])
        values = {}
        for key, value in row.items():
            place = f"{where}.{bare_key(key)}"
            if key not in fields:
                raise unknown(place, "key", key, fields)
            values[key] = self._found(f"{name}.{key}", fields[key], value, place).value
        for key, field in fields.items():
            if key not in values and field.default is msgspec.NODEFAULT:
                raise ConfigError(f"{where}.{key}: missing; expected {expected(field.type)}")
        return self.arrays[name](**values)

    def _from_text(self, section: str, key: str, value: object, where: str) -> Found:
        """A setting from a source that knows only text, or may: numbers are parsed."""
        field = _fields(self.sections[section])[key]
        if field.item_type is not None and isinstance(value, str):
            value = [item.strip() for item in value.split(",") if item.strip()]
        return self._found(f"{section}.{key}", field, value, where, strict=False)

    def _found(
        self, dotted: str, field: _Field, value: object, where: str, *, strict: bool = True
    ) -> Found:
        if field.item_type is None:
            converted = _converted(value, field.type, where, strict=strict)
            if converted != field.default:
                self._check(dotted, converted, where)
            return Found(converted, where)
        if not isinstance(value, list | tuple):
            raise wrong(where, value, f"expected {expected(field.type)}")
        items = []
        for at, item in enumerate(value):
            place = f"{where}[{at}]"
            items.append(_converted(item, field.item_type, place, strict=strict))
            self._check(dotted, items[-1], place)
        return Found(tuple(items), where)

    def _check(self, dotted: str, value: object, where: str) -> None:
        check = self.checks.get(dotted)
        if check is None:
            return
        try:
            check(value)
        except ValueError as error:
            raise wrong(where, value, str(error)) from None


def wrong(where: str, value: object, why: str) -> ConfigError:
    """The error for a value that cannot be used."""
    return ConfigError(f"{where} = {shown(value)}: {why}")


def unknown(where: str, noun: str, name: str, allowed: Iterable[str]) -> ConfigError:
    """The error for a name that does not exist, with its near matches."""
    names = sorted(allowed)
    near = difflib.get_close_matches(name[:MAX_SHOWN_CHARS], names, cutoff=NEAR_ENOUGH)
    meant = f"; did you mean {' or '.join(map(shown, near))}?" if near else ";"
    return ConfigError(f"{where}: unknown {noun}{meant} allowed: {', '.join(names)}")


def shown(value: object) -> str:
    """`value` about as TOML spells it, on one line and not too long."""
    if isinstance(value, str):
        text = json.dumps(value[:MAX_SHOWN_CHARS], ensure_ascii=False)
    elif isinstance(value, bool):
        text = str(value).lower()
    else:
        try:
            text = repr(value)
        except Exception:  # noqa: BLE001 - an option's value is foreign, and so is its repr
            text = f"<{type(value).__name__}>"
    if len(text) > MAX_SHOWN_CHARS:
        text = text[:MAX_SHOWN_CHARS] + "…"
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def expected(kind: Any) -> str:  # noqa: ANN401 - type forms have no type of their own
    """What values the type of a setting allows, in words."""
    match msgspec.inspect.type_info(kind):
        case msgspec.inspect.Metadata(extra_json_schema={"description": str(description)}):
            return description
        case msgspec.inspect.BoolType():
            return "true or false"
        case msgspec.inspect.IntType() | msgspec.inspect.FloatType() as number:
            return _expected_number(number)
        case msgspec.inspect.LiteralType(values=values):
            return "one of " + ", ".join(map(shown, values))
        case msgspec.inspect.VarTupleType():
            return "a list of strings"
        case _:
            return "a string"


def _expected_number(number: msgspec.inspect.IntType | msgspec.inspect.FloatType) -> str:
    noun = "an integer" if isinstance(number, msgspec.inspect.IntType) else "a number"
    bounds = {">": number.gt, "≥": number.ge, "<": number.lt, "≤": number.le}
    said = [f"{sign} {bound:.12g}" for sign, bound in bounds.items() if bound is not None]
    return f"{noun} {' and '.join(said)}" if said else noun


def _converted(value: object, kind: Any, where: str, *, strict: bool) -> Any:  # noqa: ANN401
    try:
        return msgspec.convert(value, kind, strict=strict)
    except msgspec.ValidationError:
        raise wrong(where, value, f"expected {expected(kind)}") from None


def bare_key(name: str) -> str:
    """A key for a message: as it is, or quoted where TOML would quote it."""
    return name if _PLAIN_KEY.fullmatch(name) else shown(name)


def _is_service_link(variable: str, text: str) -> bool:
    if _SERVICE_LINK.fullmatch(variable):
        return True
    return _SERVICE_LINK_PORT.fullmatch(f"{variable}={text}") is not None
