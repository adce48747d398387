"""What the template shows of a sheet: the models that can be chosen, fields with their values, problems and notes."""

import re
from dataclasses import dataclass

from nlmebayes.bedside import form, offers
from nlmebayes.cases.covariates import CLEARANCE
from nlmebayes.physiology import EQUATIONS
from nlmebayes.reporting.document import INTENDED

PATIENT = (
    form.Column("age", "Age", "62 years"), form.Column("sex", "Sex"),
    form.Column("weight", "Weight", "70 kg or 154 lb"), form.Column("height", "Height", "175 cm"),
    form.Column("creatinine", "Serum creatinine", "88 umol/L or 1.0 mg/dL"),
)  # fmt: skip
TABLES = {
    "doses": ("Doses given", "dose"), "samples": ("Samples", "sample"),
    "later": ("Values that changed", "change"), "regimens": ("Regimens to compare", "regimen"),
}  # fmt: skip
SAID = {"dial": "yes or no"}  # examples in the place of units
SEXES = ("", "choose"), ("female", "female"), ("male", "male")
BY = ("", "the usual one at this age"), *((name, name) for name in EQUATIONS)
MISSING = ("refuse", "are asked for"), ("impute", "are drawn from the population")
LAST = ", at the end of the chart"
EXAMPLES = ("auc24 400-600", "trough 10-15 mg/L", "peak 20-40 mg/L", "t>mic 50% mic 4")


@dataclass(frozen=True)
class Field:
    """A field: its name in the form and as an address in the page, label, value, what is wrong, what was understood."""

    name: str
    label: str
    value: str
    example: str
    problems: tuple = ()
    notes: tuple = ()
    choices: tuple = ()

    @property
    def id(self):
        """Of the element."""
        return self.name.replace(".", "-")

    @property
    def wrong(self):
        """Whether it stands in the way of an answer."""
        return any(problem.stops for problem in self.problems)


@dataclass(frozen=True)
class Rows:
    """A table of fields: its name, title, what a row is, and its rows."""

    name: str
    title: str
    one: str
    heads: tuple
    rows: tuple
    problems: tuple = ()


def of(sheet, name=""):
    """The content of the page."""
    fields = _Fields(sheet)
    models = list(sheet.tables.get("models", []))
    return {
        "sheet": sheet, "name": name, "intended": INTENDED, "drugs": offers.drugs(), "chosen": models,
        "stated": [model for model in models if model not in offers.offers()],
        "patient": fields.patient(models), "tables": {key: fields.table(key, models) for key in TABLES},
        "single": fields.single(), "targets": fields.targets(), "problems": fields.listed(), "fields": fields,
        "examples": EXAMPLES,
    }  # fmt: skip


class _Fields:
    """Makes the fields of a sheet, each with its value, problems and note."""

    def __init__(self, sheet):
        self.sheet = sheet
        self.problems = {}
        for problem in sheet.problems:
            self.problems.setdefault(problem.field, []).append(problem)

    def one(self, name, label, value, example="", choices=()):
        own = ((value, value),) if choices and value and value not in dict(choices) else ()
        return Field(name, label, value or "", example, self.at(name), tuple(self.notes(name, value)), (*choices, *own))

    def notes(self, name, value):
        """What was understood of a field, and what follows from it."""
        read = self.sheet.read.get(name)
        if read and read != value:
            yield read
        if name == "patient.creatinine" and CLEARANCE in self.sheet.covariates:
            yield f"clearance {self.sheet.covariates[CLEARANCE]}" + LAST * ("later" in self.sheet.tables)

    def at(self, name):
        """Problems of a field."""
        return tuple(self.problems.get(name, ()))

    def of_models(self):
        """Problems of the choice of models."""
        return tuple(p for p in self.sheet.problems if p.field.partition(".")[0] == "models")

    def needed(self, models):
        """Covariates that have fields, with their units."""
        return offers.needed(models, self.sheet.tables.get("population", {}))

    def patient(self, models):
        said = self.sheet.tables.get("patient", {})
        own = [(c.key, c.head, c.example) for c in PATIENT]
        more = dict.fromkeys((key for key in said if key not in {c.key for c in PATIENT}), "") | self.needed(models)
        own += [(key, form.WORDS.get(key, key), SAID.get(key, unit)) for key, unit in more.items()]
        return [
            self.one(f"patient.{key}", label, said.get(key), example, SEXES if key == "sex" else ())
            for key, label, example in own
        ]

    def wanted(self, name, models):
        """Rarer columns that the models read, or that something is said of."""
        if any(offers.offers()[model].occasions for model in models if model in offers.offers()):
            yield "occasion"
        yield from (field.split(".")[2] for field in self.problems if re.fullmatch(rf"{name}\.\d+\.\w+", field))

    def table(self, name, models):
        title, one = TABLES[name]
        said = form.padded(self.sheet.tables.get(name, []), name, self.sheet.more.get(name, 0))
        columns = form.columns(name, said, self.needed(models), self.wanted(name, models))
        rows = tuple(
            tuple(self.one(f"{name}.{i}.{c.key}", c.head, row.get(c.key), c.example if i == 0 else "") for c in columns)
            for i, row in enumerate(said)
        )
        own = tuple(p for i in range(len(said)) for p in self.at(f"{name}.{i}")) + self.at(name)
        return Rows(name, title, one, columns, rows, own)

    def targets(self):
        said = form.padded(self.sheet.tables.get("targets", []), "targets", self.sheet.more.get("targets", 0))
        return [
            self.one(f"targets.{i}", "Target" if i == 0 else f"Target {i + 1}", text or "", EXAMPLES[0])
            for i, text in enumerate(said)
        ]

    def single(self):
        said = self.sheet.tables
        return {
            "label": self.one("label", "Label of the patient", said.get("label"), "bed 7; no name is needed"),
            "now": self.one("now", "Now", said.get("now"), "empty: at the last record"),
            "equation": self.one("equation", "Clearance by", said.get("equation"), "", BY),
            "missing": self.one("missing", "Values that are missing", said.get("missing"), "", MISSING),
            "next_sample": self.one(
                "next_sample", "Candidate times of the next sample", said.get("next_sample"), "empty: some are tried"
            ),
            "late": self.one("late", "A dose is late by", said.get("late"), "empty: a quarter of the interval"),
        }  # fmt: skip

    def listed(self):
        """Every problem, the row that it is of, and the element that it is beside."""
        return [(problem, self.row(problem.field), self.place(problem.field)) for problem in self.sheet.problems]

    def row(self, name):
        """The row of a problem in words, or nothing."""
        kind, _, rest = name.partition(".")
        return f"{TABLES[kind][1].capitalize()} {int(rest.partition('.')[0]) + 1}: " if kind in TABLES and rest else ""

    def place(self, name):
        """The element that a problem is beside: a field, or the table of a row."""
        kind, _, rest = name.partition(".")
        whole = kind == "models" or (kind in TABLES and "." not in rest)
        return kind if whole else name.replace(".", "-")
