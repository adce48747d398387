"""Physiological formulas beside numbers that were worked out by hand from their sources."""

import pytest

import nlmebayes as nb
from nlmebayes import physiology


@pytest.mark.parametrize(
    ("found", "value"),
    [
        (physiology.body_mass_index(weight=81, height=180), 25.0),
        (physiology.body_surface(weight=80, height=180), 2.0),  # sqrt(80 180 / 3600) = sqrt(4)
        (physiology.body_surface(weight=70, height=170, formula="dubois"), 1.8097),
        (physiology.ideal_weight(sex="male", height=182.88), 77.6),  # six feet: 50 + 12 2.3
        (physiology.ideal_weight(sex="female", height=162.56), 54.7),  # 64 inches: 45.5 + 4 2.3
        (physiology.adjusted_weight(sex="male", weight=127.6, height=182.88), 97.6),
        (physiology.lean_weight(sex="male", weight=81, height=180), 9270 * 81 / (6680 + 216 * 25)),
        (physiology.lean_weight(sex="female", weight=64, height=160), 9270 * 64 / (8780 + 244 * 25)),
        (physiology.fat_free_weight(age=13.4, sex="male", weight=50, height=160), 0.94 * 9270 * 50 / 10898.75),
        (physiology.fat_free_weight(age=7.1, sex="female", weight=25, height=125), 1.055 * 9270 * 25 / 12684.0),
    ],
)
def test_bodies_by_hand(found, value):
    assert found == pytest.approx(value, rel=1e-4)


@pytest.mark.parametrize(
    ("sex", "creatinine", "unit", "value"),
    [
        ("male", 1.0, "mg/dL", 80.0),  # (140 - 60) 72 / 72
        ("female", 1.0, "mg/dL", 68.0),
        ("male", 2.0, "mg/dL", 40.0),
        ("male", 88.4017, "umol/L", 80.0),  # 1 mg/dL by the molar mass, 113.12 g/mol
    ],
)
def test_cockcroft_and_gault_by_hand(sex, creatinine, unit, value):
    found = physiology.cockcroft_gault(age=60, sex=sex, weight=72, creatinine=creatinine, unit=unit)
    assert found == pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize(
    ("sex", "creatinine", "value"),
    [
        ("male", 0.9, 142 * 0.9938**50),  # both ratios are 1
        ("female", 0.7, 142 * 0.9938**50 * 1.012),
        ("male", 1.8, 142 * 0.435275 * 0.9938**50),  # 2^-1.2
        ("female", 0.35, 142 * 1.181811 * 0.9938**50 * 1.012),  # 2^0.241
    ],
)
def test_ckd_epi_2021_by_hand(sex, creatinine, value):
    assert physiology.ckd_epi(age=50, sex=sex, creatinine=creatinine, unit="mg/dL") == pytest.approx(value, rel=1e-5)


def test_filtration_of_children_by_hand():
    assert physiology.schwartz(age=8, height=120, creatinine=0.413, unit="mg/dL") == pytest.approx(120.0)
    assert physiology.deindexed(100, weight=80, height=180) == pytest.approx(200 / 1.73)
    assert physiology.maturation(47.7) == 0.5
    assert physiology.maturation(95.4) == pytest.approx(2**3.4 / (1 + 2**3.4))
    assert physiology.glomerular_filtration(2000, weight=70) == pytest.approx(121.2, rel=1e-5)


@pytest.mark.parametrize(
    ("weight", "kind", "value"), [(55, "actual", 55), (75, "ideal", 73.0), (93, "adjusted", 81.0), (79, "ideal", 73.0)]
)
def test_the_weight_of_the_rule(weight, kind, value):
    """70 inches: ideal 73 kg; body mass indices of 17.4, 23.7, 29.4 and 24.99."""
    found = physiology.cockcroft_gault_weight(sex="male", weight=weight, height=177.8)
    assert found == (kind, pytest.approx(value))


PATIENT = {"age": 60, "sex": "male", "weight": 127.6, "height": 182.88, "creatinine": 1.0, "unit": "mg/dL"}


@pytest.mark.parametrize(
    ("equation", "value"),
    [
        ("cockcroft-gault", 80 * 127.6 / 72), ("cockcroft-gault ideal", 80 * 77.6 / 72),
        ("cockcroft-gault adjusted", 80 * 97.6 / 72), ("cockcroft-gault automatic", 80 * 97.6 / 72),
        ("ckd-epi 2021", 142 * (1 / 0.9) ** -1.2 * 0.9938**60 * (127.6 * 182.88 / 3600) ** 0.5 / 1.73),
    ],
)  # fmt: skip
def test_clearance_by_each_equation(equation, value):
    assert physiology.creatinine_clearance(equation, **PATIENT) == pytest.approx(value)


def test_every_equation_is_tried():
    assert set(physiology.EQUATIONS) - {"schwartz"} == {
        case for case in physiology.EQUATIONS if "cockcroft" in case or "ckd" in case
    }
    child = {"age": 8, "weight": 30, "height": 120, "creatinine": 0.413, "unit": "mg/dL"}
    assert physiology.creatinine_clearance("schwartz", **child) == pytest.approx(120 / 1.73)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: physiology.cockcroft_gault(age=8, sex="male", weight=30, creatinine=50),
         r"age must be an age from 18 to 120 years \(of children: schwartz\); got 8"),
        (lambda: physiology.ckd_epi(age=8, sex="male", creatinine=50), "age must be an age from 18"),
        (lambda: physiology.schwartz(age=40, height=170, creatinine=50), "of adults: cockcroft_gault, ckd_epi"),
        (lambda: physiology.ideal_weight(sex="male", height=150), r"from 152.4 \(five feet\)"),
        (lambda: physiology.ideal_weight(sex="male", height=1.8), "a height from 152.4"),
        (lambda: physiology.lean_weight(sex="male", weight=700, height=180), "an adult's weight from 25 to 400 kg"),
        (lambda: physiology.fat_free_weight(age=1, sex="male", weight=10, height=75), "an age from 3 to 120 years"),
        (lambda: physiology.maturation(10), "a postmenstrual age from 22 weeks on"),
        (lambda: physiology.ckd_epi(age=50, sex="male", creatinine=88, unit="mg/dL"),
         "creatinine 88 mg/dL is outside 0.05 to 30 mg/dL; is it in umol/L?"),
        (lambda: physiology.ckd_epi(age=50, sex="male", creatinine=1), "creatinine 1 umol/L is outside .* in mg/dL?"),
        (lambda: physiology.creatinine_clearance("mdrd", age=60, creatinine=88), "no equation 'mdrd'; there are cockc"),
        (lambda: physiology.creatinine_clearance("ckd-epi 2021", age=60, sex="male", weight=70, creatinine=88),
         "ckd-epi 2021 needs the height too"),
    ],
)  # fmt: skip
def test_whom_a_formula_is_not_meant_for(call, message):
    with pytest.raises(nb.ModelError, match=message):
        call()
