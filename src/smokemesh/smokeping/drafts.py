"""The sections of a SmokePing file while it is read: what may stand where, what is inherited, which defaults fill in.

A probe's choice changes what its targets may have, and what is set for a probe need not be set at its targets; so
forms are made anew while reading. Text is still bytes held as Latin-1 (`smokeping.grammar`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Final

from smokemesh.smokeping import variables as v
from smokemesh.smokeping.catalogue import PROBES, Probe
from smokemesh.smokeping.grammar import Header, Place, Row, Setting, Statement, place_text, printable
from smokemesh.smokeping.variables import Form, Variable

DEEPEST: Final = 100
#: What SmokePing's parser keeps for itself among the names of a section.
_RESERVED: Final = frozenset({
    "_inherited", "_varlist", "_is_section", "_grammar", "_order", "_order_count", "_vars", "_sections", "_recursive",
    "_mandatory", "_sub", "_dyn", "_doc", "_table", "_text", "_re", "_re_error", "_default",
})  # fmt: skip

NOWHERE: Final = Place("", 0)

#: `look(path, kind)` gives "" or what is wrong with the directory, file, readable, program or secrets of that path.
Look = Callable[[str, str], str]


@dataclass(slots=True)
class Terms:
    """What a probe asks of its targets."""

    variables: Mapping[str, Variable]
    mandatory: list[str]
    #: Of the targets below: made once, there may be many.
    form: Form | None = None

    def copy(self) -> "Terms":
        """For an instance, or as they are when a target chooses the probe."""
        return Terms(self.variables, list(self.mandatory), self.form)


@dataclass(slots=True)
class Draft:
    """A section being read."""

    name: str
    place: Place
    level: int
    form: Form
    above: "Draft | None" = None
    values: dict[str, str] = field(default_factory=dict)
    #: Where each value was written, also of inherited ones.
    places: dict[str, Place] = field(default_factory=dict)
    explicit: list[str] = field(default_factory=list)
    inherited: set[str] = field(default_factory=set)
    table: list[tuple[str, ...]] = field(default_factory=list)
    children: dict[str, "Draft"] = field(default_factory=dict)
    mandatory: tuple[str, ...] = ()
    #: Below Targets: of the probe chosen. Below Probes: of this very probe.
    terms: Terms | None = None

    @property
    def label(self) -> str:
        """For messages: `*** Targets ***`, `Targets/A/B`."""
        names = []
        draft: Draft | None = self
        while draft is not None and draft.level > 0:
            names.append(draft.name)
            draft = draft.above
        names.reverse()
        return f"*** {names[0]} ***" if len(names) == 1 else "/".join(names)


class Tree:
    """Takes statements one after the other. Raises ConfigError."""

    def __init__(self, path: str, look: Look, read_template: Callable[[str], str]) -> None:
        self._look = look
        self._read_template = read_template
        self.top = self._at = Draft("", Place(path, 0), 0, Form())
        self.warnings: list[str] = []
        #: Probes and instances that a target may choose -> their module; templates left out once they have instances.
        self._known: dict[str, str] = {}
        self._terms: dict[str, Terms] = {}

    def take(self, statement: Statement) -> None:
        """The next statement of the file."""
        if isinstance(statement, Header):
            self._header(statement)
        elif isinstance(statement, Setting):
            self._setting(statement)
        else:
            self._row(statement)

    def close(self) -> None:
        """At the end of the file: defaults, then what is missing."""
        while self._at is not self.top:
            self._up()
        for name in v.TOP_MANDATORY:
            if name not in self.top.children:
                raise Place(self.top.place.file, 0).error(f"*** {name} *** is missing; write this section")
        self._check_mandatory(self.top)

    # sections

    def _header(self, header: Header) -> None:
        if header.level > self._at.level + 1:
            raise header.place.error(
                f"section {printable(header.name)!r} stands {header.level - self._at.level} levels below"
                f" {self._at.label or 'the top'}; write {'+' * self._at.level or '*** NAME ***'} for the level next below"
            )
        if header.level > DEEPEST:
            raise header.place.error(f"sections stand more than {DEEPEST} deep; write them flatter")
        while self._at.level >= header.level:
            self._up()
        self._at = self._open(self._at, header)

    def _up(self) -> None:
        draft, above = self._at, self._at.above
        assert above is not None
        for name, default in draft.form.defaults:
            if name not in draft.values and name not in draft.children:
                draft.values[name] = default
                draft.places[name] = NOWHERE
        self._at = above

    def _open(self, above: Draft, header: Header) -> Draft:
        name, place = header.name, header.place
        form = self._form(above, name, place)
        if name in above.values or name in above.children or name in _RESERVED:
            other = (
                "a variable" if name in above.values else "a section" if name in above.children else "SmokePing itself"
            )
            where = above.label or "the file"
            raise place.error(f"section {printable(name)!r}: {other} of {where} has this name already; write another")
        draft = Draft(name, place, header.level, form, above, mandatory=form.mandatory)
        for variable in form.inherited:
            if variable in above.values:
                draft.values[variable] = above.values[variable]
                draft.places[variable] = above.places[variable]
                draft.inherited.add(variable)
        above.children[name] = draft
        self._after_opening(draft)
        return draft

    def _form(self, above: Draft, name: str, place: Place) -> Form:
        if above.level == 0:
            return self._top_form(name, place)
        area = _area(above)
        if area == "Targets":
            return self._target_form(above, name, place)
        if area == "Probes":
            return self._probe_form(above, name, place)
        if name in above.form.sections:
            return above.form.sections[name]
        if above.form.named is None:
            known = list(above.form.sections)
            raise place.error(f"section {printable(name)!r}: {above.label} has no such section{_instead(name, known)}")
        pattern, form, what = above.form.named
        _insist_on_name(pattern.fullmatch(name) is not None, name, what, place)
        return form

    def _top_form(self, name: str, place: Place) -> Form:
        if name == "Probes":
            return Form()
        if name == "Targets":
            return Form(variables=dict.fromkeys(v.ROOT, v.TEXT), mandatory=v.ROOT_MANDATORY)
        if name not in v.FIXED:
            raise place.error(
                f"section *** {printable(name)} *** is unknown{_instead(name, [*v.FIXED, 'Probes', 'Targets'])}"
            )
        return v.FIXED[name]

    # targets

    def _target_form(self, above: Draft, name: str, place: Place) -> Form:
        _insist_on_name(v.NAME.fullmatch(name) is not None, name, "a target", place)
        if name == "PROBE_CONF":
            raise place.error("section 'PROBE_CONF' is no longer used; write its variables right into the target")
        return target_form(above.terms)

    def _choose(self, draft: Draft, probe: str, place: Place) -> None:
        """`probe = …`: from here on other variables may be set."""
        if probe not in self._known:
            raise place.error(self._unknown_probe(probe))
        late = [name for name in draft.explicit if name not in v.TARGET or name == "host"]
        root = draft.level == 1
        if late and not root:
            raise place.error(
                f"probe stands behind {printable(late[0])}; write it before host and the probe's variables"
            )
        draft.terms = self._terms[probe].copy()
        if root:
            more = _without_defaults(draft.terms.variables)
            draft.form = Form(variables={**draft.form.variables, **more}, free=v.TAGS)
        else:
            draft.form = target_form(draft.terms)

    def _unknown_probe(self, probe: str) -> str:
        shown = printable(probe)
        if "Probes" not in self.top.children:
            return f"probe = {shown}: *** Probes *** has not come yet; write it before *** Targets ***"
        module = self.top.children["Probes"].children.get(probe)
        if module is not None and module.children:
            return f"probe = {shown}: this is only the template of its instances; write one of {', '.join(module.children)}"
        return f"probe = {shown}: no such probe in *** Probes ***{_instead(probe, list(self._known))}"

    # probes

    def _probe_form(self, above: Draft, name: str, place: Place) -> Form:
        if above.level == 1:
            _insist_on_name(v.NAME.fullmatch(name) is not None, name, "a probe", place)
            if name not in PROBES:
                cure = _instead(name, list(PROBES), most=0, otherwise="take it and its targets out")
                raise place.error(f"probe {name}: none of this name comes with SmokePing{cure}")
            return _module_form(PROBES[name])
        if above.level > 2:
            raise place.error(
                f"section {printable(name)!r} stands below {above.name}, an instance of a probe; write ++ for one more instance"
            )
        _insist_on_name(v.NAME.fullmatch(name) is not None, name, "an instance of a probe", place)
        module = _module_form(PROBES[above.name])
        return Form(
            variables=module.variables, free=v.TAGS, mandatory=module.mandatory, inherited=tuple(module.variables)
        )

    def _after_opening(self, draft: Draft) -> None:
        """Probes become known; targets begin with what the section above them chose."""
        above = draft.above
        assert above is not None
        if draft.level < 2:
            return
        area = _area(draft)
        if area == "Targets":
            draft.terms = above.terms
        elif area == "Probes" and draft.level == 2:
            probe = PROBES[draft.name]
            draft.terms = Terms(probe.target, list(probe.target_mandatory))
            self._know(draft, "")
        elif area == "Probes":
            assert above.terms is not None
            above.mandatory = ()
            if self._known.get(above.name) == "":
                del self._known[above.name]
            draft.terms = above.terms.copy()
            self._know(draft, above.name)

    def _know(self, draft: Draft, module: str) -> None:
        """A probe under its name; a later one of the same name takes it over, as in SmokePing."""
        assert draft.terms is not None
        if draft.name in self._known:
            self._warn(draft.place, f"probe {draft.name}: the name is used by two probes; rename one")
        self._known[draft.name] = module
        self._terms[draft.name] = draft.terms

    # variables and tables

    def _setting(self, setting: Setting) -> None:
        draft, name, place = self._at, setting.name, setting.place
        if name in draft.children or name in _RESERVED or (name in draft.values and name not in draft.inherited):
            raise place.error(
                f"{printable(name)} is set already in {draft.label}{_line_of(draft, name)}; write it once"
            )
        variable = draft.form.variables.get(name)
        if variable is None:
            if draft.form.free is None or draft.form.free.fullmatch(name) is None:
                raise place.error(self._unknown_variable(draft, name))
            variable = v.TEXT
        self._check(draft, variable, setting)
        draft.inherited.discard(name)
        draft.values[name] = setting.value
        draft.places[name] = place
        draft.explicit.append(name)
        self._after_setting(draft, setting)

    def _check(self, draft: Draft, variable: Variable, setting: Setting) -> None:
        value, place = setting.value, setting.place
        refused = variable.rule(value) if variable.rule else ""
        if refused:
            raise place.error(f"{_said(setting)} in {draft.label}: {refused}")
        if variable.rule in v.COUNTING and not v.is_plain_number(value):
            counts = f"{v.number(value):g}"
            self._warn(place, f"{_said(setting)} counts as {counts}, as SmokePing counts; write {counts}")
        if variable.needs and (wrong := self._look(value, variable.needs)):
            self._warn(place, f"{_said(setting)}: {wrong}; SmokePing itself refuses that, here it is not needed")

    def _after_setting(self, draft: Draft, setting: Setting) -> None:
        """What else a value brings about."""
        area, name = _area(draft), setting.name
        if area == "Targets" and name == "probe":
            self._choose(draft, setting.value, setting.place)
        elif area == "Targets" and name == "host" and draft.level > 1:
            draft.mandatory = tuple(draft.terms.mandatory) if draft.terms else ()
        elif area == "Probes" and draft.terms is not None and name in draft.terms.mandatory:
            draft.terms.mandatory.remove(name)
        elif area == "Alerts" and name == "mailtemplate":
            self._refuse_file(setting, self._read_template(setting.value))
        elif area == "Slaves" and name == "secrets" and draft.level == 1:
            wrong = self._look(setting.value, "secrets")
            cure = "" if "; " in wrong else "; write the path of a file of NAME:SECRET lines, mode 640"
            self._refuse_file(setting, wrong and wrong + cure)

    def _refuse_file(self, setting: Setting, wrong: str) -> None:
        if wrong:
            raise setting.place.error(f"{setting.name} = {printable(setting.value)}: {wrong}")

    def _unknown_variable(self, draft: Draft, name: str) -> str:
        shown = printable(name)
        if draft.level == 0:
            return f"{shown} stands before any section; write *** General *** or another above it"
        if not draft.form.variables:
            return f"{shown}: {draft.label} has no variables{_instead(name, [])}"
        if _area(draft) == "Targets" and draft.level > 1 and (probe := draft.values.get("probe")):
            module = PROBES.get(self._known.get(probe) or probe)
            if module is not None and name in module.probe:
                return f"{shown} belongs to probe {probe}, not to a target; move it below + {probe} in *** Probes ***"
            return f"{shown}: neither targets nor probe {probe} have this variable{_instead(name, _names(draft))}"
        return f"{shown}: {draft.label} has no such variable{_instead(name, _names(draft))}"

    def _row(self, row: Row) -> None:
        draft, columns = self._at, self._at.form.table
        first = printable(row.fields[0]) if row.fields else ""
        if not columns:
            here = draft.label or "the file before its first section"
            cure = (
                "*** NAME *** for a section" if first.startswith("*") else "NAME = VALUE, or a section such as + NAME"
            )
            raise row.place.error(f"{first!r}: {here} has no table; write {cure}")
        if len(row.fields) != len(columns):
            names = " ".join(column.name for column in columns)
            raise row.place.error(
                f"row {first!r} of {draft.label} has {len(row.fields)} columns; write {len(columns)}: {names}"
            )
        for column, value in zip(columns, row.fields, strict=True):
            refused = column.rule(value) if column.rule else ""
            if refused:
                raise row.place.error(f"{column.name} {printable(value)!r} in {draft.label}: {refused}")
            if column.rule in v.COUNTING and not v.is_plain_number(value):
                self._warn(
                    row.place, f"{column.name} {printable(value)!r} counts as {v.number(value):g}; write that number"
                )
        draft.table.append(row.fields)

    def _check_mandatory(self, draft: Draft) -> None:
        for name in draft.mandatory:
            if name not in draft.values and name not in draft.children:
                what = f"section {name}" if name in draft.form.sections else name
                why = (
                    f"; probe {draft.values['probe']} needs it" if _area(draft) == "Targets" and draft.level > 1 else ""
                )
                raise draft.place.error(f"{draft.label} has no {what}{printable(why)}; write {_example(draft, name)}")
        for child in draft.children.values():
            self._check_mandatory(child)

    def _warn(self, place: Place, message: str) -> None:
        self.warnings.append(place_text(place) + message)


def target_form(terms: Terms | None) -> Form:
    """Of a section below Targets."""
    if terms is None:
        return _PLAIN_TARGET
    if terms.form is None:
        more = _without_defaults(terms.variables)
        terms.form = Form(variables={**v.TARGET, **more}, free=v.TAGS, inherited=(*v.TARGET_INHERITED, *more))
    return terms.form


_PLAIN_TARGET: Final = Form(variables=v.TARGET, free=v.TAGS, inherited=v.TARGET_INHERITED)


def _module_form(probe: Probe) -> Form:
    return Form(variables={**probe.probe, **probe.target}, free=v.TAGS, mandatory=probe.mandatory)


def _without_defaults(variables: Mapping[str, Variable]) -> dict[str, Variable]:
    """As targets have them: the defaults are filled in at the probe."""
    return {n: Variable(rule=x.rule, needs=x.needs) for n, x in variables.items()}


def _area(draft: Draft) -> str:
    while draft.above is not None and draft.above.level > 0:
        draft = draft.above
    return draft.name


def _said(setting: Setting) -> str:
    return f"{printable(setting.name)} = {printable(setting.value)}"


def _names(draft: Draft) -> list[str]:
    return list(draft.form.variables)


def _line_of(draft: Draft, name: str) -> str:
    place = draft.places.get(name) or (draft.children[name].place if name in draft.children else None)
    return f" (line {place.line})" if place is not None and place.line else ""


def _example(draft: Draft, name: str) -> str:
    return f"{'+' * draft.level} {name} below it" if name in draft.form.sections else f"{name} = … there"


def _insist_on_name(fine: bool, name: str, what: str, place: Place) -> None:
    if not fine:
        allowed = (
            "no blanks or commas"
            if what == "alert"
            else "letters, digits, - and _" + (" and ." if what == "a slave" else "")
        )
        raise place.error(f"section {printable(name)!r} cannot name {what}; write {allowed} only")


def _instead(name: str, known: list[str], most: int = 45, otherwise: str = "take it out") -> str:
    """The cure for a wrong name: the one that was meant, all there are when they are few, or to do without."""
    alike = [one for one in known if one.lower() == name.lower()]
    close = alike or get_close_matches(name[:60], known, n=1)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; write one of {', '.join(sorted(known))}" if 0 < len(known) <= most else f"; {otherwise}"
