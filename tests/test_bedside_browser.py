"""The page at the bedside in a browser: entered by keyboard, read by a reader, on a phone, printed, saved and opened.

Where no browser is found these tests are not run, and the end of the run says so (`conftest`).
"""

import re

import browser
import pytest
from axe_playwright_python.sync_playwright import Axe
from bedsides import CASE, served
from playwright.sync_api import sync_playwright

pytestmark = pytest.mark.skipif(browser.found() is None, reason="no browser")
PATIENCE = 180_000.0  # ms; kernels may have to be compiled
GOTI = "#model-vancomycin_goti_2018"


@pytest.fixture(scope="module")
def service():
    with served() as found:
        yield found


@pytest.fixture(scope="module")
def chromium():
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=browser.found(), args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def page(chromium, service):
    """A tab at the empty page, which notes what it asks for and what goes wrong."""
    context = chromium.new_context(accept_downloads=True)
    context.set_default_timeout(PATIENCE)
    found = context.new_page()
    found.asked, found.wrong = [], []
    found.on("request", lambda request: found.asked.append(request.url))
    found.on("console", lambda message: found.wrong.append(message.text))
    found.on("pageerror", lambda error: found.wrong.append(str(error)))
    found.goto(service.address)
    found.wait_for_url(re.compile(r"/$"))
    yield found
    own = service.address.partition("?")[0]
    assert not found.wrong and all(url.startswith((own, "data:")) for url in found.asked)
    context.close()


def opened(page, text, name="case.toml"):
    """Open a file on the page."""
    page.set_input_files("#file", {"name": name, "mimeType": "text/plain", "buffer": text.encode()})
    page.click("text=Open this file")
    page.wait_for_url(re.compile("/sheet/"))


def serious(page):
    """What axe-core finds of a page that keeps people out."""
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [(each["id"], each["nodes"][0]["html"][:200]) for each in found if each["impact"] in ("serious", "critical")]


def typed(page, **fields):
    """Go to each field by the tabulator and type; at last, Enter."""
    for name, text in fields.items():
        for _ in range(200):
            if page.evaluate("document.activeElement.id") == name.replace("_", "-"):
                break
            page.keyboard.press("Tab")
        else:
            raise AssertionError(f"the tabulator does not lead to {name}")
        page.keyboard.type(text)
    page.keyboard.press("Enter")


def test_a_case_is_entered_by_keyboard_alone(page):
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent").strip().startswith("Vancomycin"):
            break
    page.keyboard.press("Enter")
    while page.evaluate("'#' + document.activeElement.id") != GOTI:
        page.keyboard.press("Tab")
    page.keyboard.press("Space")
    page.keyboard.press("Tab")
    while page.evaluate("document.activeElement.value") != "models":
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/sheet/"))
    typed(
        page, label="bed 7", patient_age="60", patient_sex="male", patient_weight="70 kg", patient_height="175 cm",
        patient_creatinine="1.0 mg/dL", patient_dial="0", doses_0_time="0", doses_0_amount="1000",
        doses_0_duration="1 h", samples_0_time="11.5", samples_0_value="9 mg/L", targets_0="auc24 400-600",
    )  # fmt: skip
    page.wait_for_selector("#answer")
    assert page.evaluate("document.activeElement.id") == "answer" and page.locator("#answer h2").inner_text() == "bed 7"
    assert page.locator("#course-title").count() == 1 and page.locator(".bars tbody tr").count() >= 1


def test_readers_find_nothing_in_their_way(page):
    assert serious(page) == []
    opened(page, CASE)
    page.wait_for_selector("#answer")
    assert serious(page) == []
    page.fill("#doses-0-amount", "-1000")
    page.click("button.main")
    page.wait_for_selector("#problems")
    assert serious(page) == []


@pytest.mark.parametrize(("wide", "scale"), [(375, 1), (640, 2)])  # a phone; a desktop at 200 %
def test_narrow_pages_scroll_in_one_direction(page, wide, scale):
    opened(page, CASE)
    page.set_viewport_size({"width": wide, "height": 700})
    page.wait_for_selector("#answer")
    assert page.evaluate("document.documentElement.scrollWidth") <= wide
    assert page.locator("#course-title").evaluate("e => e.closest('svg').getBoundingClientRect().width") > wide - 80


def test_a_row_is_added_without_the_server(page):
    page.click("[data-more=doses]")
    added = page.locator("#doses-2-amount")
    assert added.count() == 1 and page.evaluate("document.activeElement.id") == "doses-2-time"
    assert page.locator("[for=doses-2-amount]").count() == 1 and page.url.endswith("/")


def test_without_script_the_page_works(chromium, service):
    context = chromium.new_context(java_script_enabled=False)
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.goto(service.address)
    page.wait_for_url(re.compile(r"/$"))
    page.click("[data-more=doses]")
    page.wait_for_url(re.compile("/sheet/"))
    assert page.locator("#doses-3-amount").count() == 1
    opened(page, CASE)
    assert page.locator("#answer").count() == 1
    context.close()


def test_a_case_is_saved_and_opened_again_with_the_same_answer(page):
    opened(page, CASE)
    page.wait_for_selector("#answer")
    before = page.locator("#answer").inner_text()
    with page.expect_download() as saving:
        page.click("text=Save the case")
    page.goto(page.url.partition("/sheet")[0] + "/")
    opened(page, saving.value.path().read_text(encoding="utf-8"))
    page.wait_for_selector("#answer")
    assert page.locator("#answer").inner_text() == before


def test_the_report_prints_on_one_page(page):
    opened(page, CASE)
    page.wait_for_selector("#answer")
    with page.context.expect_page() as opening:
        page.click("text=Report to print")
    report = opening.value
    report.wait_for_load_state()
    assert "no medical device" in report.content()
    assert len(re.findall(rb"/Type\s*/Page\b", report.pdf(format="A4"))) == 1
