"""The report in a real browser: what is drawn, what controls do, who is asked."""

from pathlib import Path

import pytest

from unscheduled.report.page import render

from .made_logs import HOSTILE, SUBMISSIONS, read_report, write_logs

pytest.importorskip("playwright", reason="playwright's package is not installed")

from . import browser as shots

CHROMIUM = shots.find_chromium()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        CHROMIUM is None, reason=f"no $CHROMIUM, {', '.join(shots.NAMES)} on the PATH"
    ),
]

DRAWN = "chart => chart.data.filter(t => t.visible !== false).length"
GROUPS = """chart => [...new Set(chart.data.filter(t => t.visible !== false)
    .map(t => t.legendgroup))].sort()"""
MARKS = "chart => chart.querySelectorAll('.trace, .hm image')"


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    out = folder / "report.html"
    report = read_report(write_logs(folder / "logs"))
    out.write_text(render(report, ["Read 16 trials."], out), encoding="utf-8")
    return out


@pytest.fixture(scope="module")
def chromium():
    with shots.browser(CHROMIUM) as browser:
        yield browser


@pytest.fixture
def page(chromium, path):
    page = shots.open_report(chromium, path)
    yield page
    page.close()


def charts(page, kind):
    return page.query_selector_all(f'.chart[data-figure^="{kind}"]')


def groups(page, kind):
    """The submissions that the first chart of a kind shows."""
    shots.wait_for_charts(page)
    return charts(page, kind)[0].evaluate(GROUPS)


def focused(page):
    return page.evaluate("document.activeElement.outerHTML")


def tab_to(page, text, limit=60):
    """Press Tab until the element with the focus has `text` in its HTML."""
    for _ in range(limit):
        page.keyboard.press("Tab")
        if text in focused(page).partition(">")[0]:
            return
    raise AssertionError(f"no way by Tab to {text}")


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("colors", ["light", "dark"])
def test_renders_alone(chromium, path, width, colors):
    """A chart would be empty, an error hidden, or a request made."""
    page = chromium.new_page(
        viewport={"width": width, "height": 900}, color_scheme=colors
    )
    told, asked = [], []
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    shots.wait_for_charts(page)
    all_charts = page.query_selector_all(".chart")
    assert len(all_charts) == 5
    for chart in all_charts:
        assert chart.evaluate(DRAWN) > 0
        assert chart.evaluate("chart => chart.querySelectorAll('.main-svg').length")
        assert chart.evaluate(f"{MARKS}.length") > 0
    assert page.evaluate("document.documentElement.scrollWidth") == width
    ink = "rgb(27, 32, 39)" if colors == "light" else "rgb(231, 234, 238)"
    assert page.evaluate("getComputedStyle(document.body).color") == ink
    tick = page.query_selector(".xtick text")
    assert tick.evaluate("text => getComputedStyle(text).fill") == ink
    assert told == []
    assert asked == [path.as_uri()]
    page.close()


def test_policy_holds(page):
    """A script that found its way into the page would run."""
    page.evaluate("""() => {
        const script = document.createElement('script');
        script.textContent = 'window.ran = true';
        document.body.append(script);
    }""")
    assert page.evaluate("window.ran") is None
    assert (
        page.evaluate(
            "fetch('https://example.invalid/').then(() => 'asked', () => 'refused')"
        )
        == "refused"
    )


def test_hostile_name_is_text(page):
    """A name with markup would be shown as its markup says."""
    assert page.locator(".legend .name").nth(2).text_content() == HOSTILE
    texts = [t.text_content() for t in page.query_selector_all(".ytick text")]
    assert any(text.strip() == HOSTILE for text in texts)
    assert page.query_selector("main img") is None


def test_legend_toggles_a_submission_everywhere(page):
    """A click on a name would do nothing, or hide another one."""
    for kind in ("profiles", "times", "curves"):
        assert groups(page, kind) == sorted(SUBMISSIONS)
    page.click("button[data-submission=fast]")
    pressed = page.get_attribute("button[data-submission=fast]", "aria-pressed")
    assert pressed == "false"
    for kind in ("profiles", "times", "curves"):
        assert groups(page, kind) == sorted({*SUBMISSIONS} - {"fast"})
    page.click("#none")
    assert groups(page, "curves") == []
    page.click("#all")
    assert groups(page, "curves") == sorted(SUBMISSIONS)


def test_workload_and_axis(page):
    """The curves of another workload, or against the wrong axis, would be shown."""

    def curves():
        shots.wait_for_charts(page)
        return charts(page, "curves")[0].evaluate(
            "c => [...['yaxis', 'xaxis'].map(axis => c.layout[axis].title.text),"
            " c.calcdata[0][1].x]"
        )

    assert curves()[:2] == ["validation accuracy", "submission time, seconds"]
    page.check("input[name=workload][value='1']", force=True)
    assert curves() == ["validation ppl", "submission time, seconds", 2]
    page.check("input[name=axis][value=steps]", force=True)
    assert curves() == ["validation ppl", "steps", 20]
    times = charts(page, "times")[0].evaluate("c => c.layout.xaxis.title.text")
    assert times == "steps"
    page.click("a[data-workload='0']")
    assert curves()[0] == "validation accuracy"


def test_whole_range(page):
    """The first evaluations could not be looked at."""
    low = "c => Math.min(...c._fullLayout.yaxis.range)"
    before = charts(page, "curves")[0].evaluate(low)
    page.check("#whole")
    shots.wait_for_charts(page)
    assert charts(page, "curves")[0].evaluate(low) < 0.5 < before


def test_keyboard_alone(page):
    """Without a mouse, a control would be out of reach or its focus unseen."""
    page.keyboard.press("Tab")
    assert "skip" in focused(page)
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.reload()
    shots.wait_for_charts(page)
    tab_to(page, 'data-submission="slow"')
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert page.evaluate(outline) == "solid"
    page.keyboard.press("Space")
    assert "slow" not in groups(page, "profiles")
    tab_to(page, 'name="axis"')
    page.keyboard.press("ArrowRight")
    tab_to(page, 'name="workload"')
    page.keyboard.press("ArrowRight")
    shots.wait_for_charts(page)
    layout = charts(page, "curves")[0].evaluate(
        "c => [c.layout.xaxis.title.text, c.layout.yaxis.title.text]"
    )
    assert layout == ["steps", "validation ppl"]
    tab_to(page, 'id="whole"')
    tab_to(page, "<summary")


def test_theme_switch(page):
    """The switch would change the page and not the charts, or stick at dark."""

    def colors():
        shots.wait_for_charts(page)
        tick = page.query_selector(".xtick text")
        return (
            page.evaluate("getComputedStyle(document.body).color"),
            tick.evaluate("text => getComputedStyle(text).fill"),
        )

    light, dark = ("rgb(27, 32, 39)",) * 2, ("rgb(231, 234, 238)",) * 2
    assert colors() == light
    for theme, expected in (("Light", light), ("Dark", dark), ("Auto", light)):
        page.click("#theme")
        assert page.text_content("#theme") == f"\u25d0 {theme}"
        assert colors() == expected


def test_print(page):
    """Paper would be dark, or lack what is folded on the screen."""
    page.emulate_media(color_scheme="dark")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("document.querySelectorAll('details:not([open])').length") == 0
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(27, 32, 39)"
    for chart in page.query_selector_all(".chart .main-svg"):
        assert chart.bounding_box()["width"] < 700  # A4 without margins
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate("document.querySelectorAll('details:not([open])').length") > 0
    assert page.evaluate("document.documentElement.dataset.theme") == "auto"
    assert page.pdf(format="A4")[:4] == b"%PDF"


def test_links_open_files(page):
    """A link would not open the log that it names."""
    with page.expect_download() as download:
        page.locator("#runs a", has_text="eval_measurements.csv").first.click()
    name = download.value.suggested_filename
    assert name == "eval_measurements.csv"
