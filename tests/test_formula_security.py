"""A formula from a stranger runs nothing, through whichever door it comes."""

import json

import pandas as pd
import pytest
from typer.testing import CliRunner

import nlmebayes as nb
from model_zoo import LinearMixed, OneCompartment
from nlmebayes.cli import app
from nlmebayes.dosing.wanted import target
from nlmebayes.evaluation import storage
from nlmebayes.populations import library
from nlmebayes.words import StatementError

RUN = "touch ran"
CALLS = (
    f"pd.io.common.os.system('{RUN}')", f"np.f2py.os.system('{RUN}')", f"os.system('{RUN}')", f"system('{RUN}')",
    f"__import__('os').system('{RUN}')", f"__builtins__['eval']('{RUN}')", f"eval('{RUN}')", f"exec('{RUN}')",
    f"compile('{RUN}', 'x', 'exec')", "open('ran', 'w')", "np.save('ran', wt)", "np.load('x', allow_pickle=True)",
    "pd.read_pickle('x')", "pd.read_csv('http://localhost:1/')", "wt.to_csv('ran')", "wt.to_pickle('ran')",
    "wt.apply(print)", "wt.__class__.__mro__[1].__subclasses__()", "(wt).__class__", "wt.values.tofile('ran')",
    "().__class__.__bases__[0]", "'x'.__class__", "'{0.__class__}'.format(wt)",
    f"f'{{__import__(\"os\").system(\"{RUN}\")}}'", "getattr(wt, 'to_csv')('ran')", "globals()", "locals()", "vars()",
    "dir()", "breakpoint()", "input()", "print(wt)", "help()", "exit()", "quit()", "type(wt)", "object()",
    "map(print, wt)", "[print(x) for x in wt]", "(print(x) for x in wt)", "{print(x): 1 for x in wt}",
    "(lambda: print(wt))()", "lambda x: x", "(x := print(wt))", "print(wt) if 1 else 0", "wt if print(wt) else wt",
    "await wt", "yield wt", "*wt", "**wt", "wt[0]", "wt[print(wt)]", "log(*[print(wt)])", "log(**{'x': print(wt)})",
    "log(x=print(wt))", "log(print(wt))", "log.__class__(wt)", "np.log.__reduce__()", "design_matrices('1', wt)",
    "model_description('x')", "Environment.capture()", "C(wt, eval)", "C(wt, print(wt))", "C(wt, levels=print(wt))",
    "C(wt, Treatment(print(wt)))", "C(wt, Treatment(wt.__class__))", "bs(wt, df=print(wt))",
    "bs(wt, knots=[print(wt)])", "bs(wt, knots=open('ran', 'w'))", "poly(wt, degree=print(wt))", "s(wt, k=print(wt))",
    "s.__init__(wt)", "center.__call__(wt)", "Smooth(wt)", "T(wt, ref=print(wt))", "1j*wt", "b'x'", "...", "wt @ wt",
    "wt; print(wt)", "wt\nprint(wt)", "import os", "wt # print", "wt \\\n", "`__import__('os')`()", "`os`.system('x')",
    "wt, print(wt)", "9**9**9**9**9*print(wt)", "\N{FULLWIDTH LATIN SMALL LETTER E}val('x')",
    "ev\N{ZERO WIDTH JOINER}al('x')", "exec\x00('x')", "wt\u2028print(wt)",
)  # fmt: skip
SPELLINGS = (
    *(f"cl ~ 1 + {call} + (1|id)" for call in CALLS),
    *(f"cl ~ 1 + {form.format(call)} + (1|id)" for call in CALLS[:6] for form in ("offset({})", "I({})", "{{{}}}")),
    *(f"cl ~ 1 + (1 + {call}|id)" for call in CALLS[:6]),
    *(f"cl ~ 1 + (1|{call})" for call in CALLS[:6]),
)
STATED = {"theta": {"cl": 3.0, "v": 40.0}, "omega": {"sd": {"cl": 0.3}}, "sigma": {"b": 0.2}}


def test_there_are_enough():
    assert len(set(SPELLINGS)) >= 100


@pytest.fixture(scope="module")
def tree():
    return nb.population(OneCompartment(), "cl ~ 1 + (1|id)", **STATED)


@pytest.mark.parametrize("text", SPELLINGS)
def test_through_a_model(untouched, text):
    with pytest.raises(nb.FormulaError, match=r"^formula"):
        nb.Model(OneCompartment(), text)
    with pytest.raises(nb.FormulaError, match=r"^formula"):
        nb.Model(LinearMixed(), text.replace("cl ~", "sigma ~").replace(" + (1|id)", ""))


@pytest.mark.parametrize("text", SPELLINGS)
def test_through_a_population_a_table_and_a_tree(untouched, tree, text):
    with pytest.raises(nb.FormulaError):
        nb.population(OneCompartment(), text, **STATED)
    said = f'structure = "OneCompartment"\nformulas = [{json.dumps(text)}]\nsigma = {{b = 0.2}}\n'
    (untouched / "model.toml").write_text(
        f"{said}[theta]\ncl = 3.0\nv = 40.0\n[omega.sd]\ncl = 0.3\n", encoding="utf-8"
    )
    with pytest.raises(nb.FormulaError):
        library.read_population(untouched / "model.toml")
    bad = tree.copy()
    statement = json.loads(bad.attrs[storage.STATEMENT])
    statement["fields"]["formulas"] = {"tuple": [text]}
    bad.attrs[storage.STATEMENT] = json.dumps(statement)
    patient = storage.training_dataset(tree)
    for verb, others in ((nb.forecast, (patient,)), (nb.predict, (patient,)), (nb.forecaster, ())):
        with pytest.raises(nb.FormulaError, match=r"^formula"):
            verb(bad, *others)


@pytest.mark.parametrize("call", CALLS)
def test_through_the_name_of_a_term(untouched, call):
    theta = {"cl": {"Intercept": 3.0, call: 0.5}, "v": 40.0}
    with pytest.raises((nb.FormulaError, nb.ModelError)):
        nb.population(OneCompartment(), **STATED | {"theta": theta})
    with pytest.raises((nb.FormulaError, nb.ModelError)):
        nb.population(OneCompartment(), uncertainty={"cl": {call: 10.0}}, **STATED)


@pytest.mark.parametrize("text", SPELLINGS[::9])
def test_through_the_command_line(untouched, text):
    frame = pd.DataFrame({"ID": [1, 1], "TIME": [0.0, 1.0], "AMT": [100.0, 0.0], "DV": [None, 2.0], "WT": [70.0, 70.0]})
    frame.to_csv(untouched / "data.csv", index=False)
    found = CliRunner().invoke(app, ["fit", "data.csv", "--model", "one-compartment", "--formula", text])
    assert found.exit_code != 0 and found.output.startswith("error: ") and not (untouched / "results").exists()


@pytest.mark.parametrize("call", CALLS)
def test_through_a_target(untouched, call):
    for text in (call, f"{call} 10-15", f"trough {call}", f"trough 10-15 {call}", f"trough 10-15 at {call}"):
        with pytest.raises(StatementError):
            target(text, "mg/L")


@pytest.mark.parametrize("call", CALLS)
def test_through_statements_calculations_and_curves(untouched, tree, call):
    doors = (
        lambda: nb.hypothesis(tree, f"{call} > 0"), lambda: nb.hypothesis(tree, f"theta_cl[{call}] > 0"),
        lambda: nb.effects(tree, "id", of=call), lambda: nb.curve(call, a=1.0),
        lambda: nb.FormulaCurve(call, [nb.Parameter("a")]),
    )  # fmt: skip
    for door in doors:
        with pytest.raises((nb.FormulaError, nb.ModelError)) as refusal:
            door()
        assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("text", ["wt.__class__", "log.__self__", "log(log)", "I(wt.__init__ + np.exp)"])
def test_names_with_points_are_names_of_columns(untouched, text):
    frame = pd.DataFrame({"id": [1, 1, 2, 2], "y": [1.0, 2.0, 3.0, 4.0], "wt": 70.0})
    data = nb.Dataset.from_frame(frame, outcome="y", levels="id")
    with pytest.raises(nb.FormulaError, match="no column"):
        nb.build(nb.Model(LinearMixed(), f"mu ~ 1 + {text}"), data)
