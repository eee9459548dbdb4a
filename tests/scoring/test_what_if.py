"""What a change would be worth: the known answers, and what can't be assumed."""

import json
import math
from dataclasses import replace

import pytest

from unscheduled.benchmark.errors import UserError
from unscheduled.benchmark.rulesets import ruleset
from unscheduled.benchmark.targets import BENCHMARKS, load_benchmark
from unscheduled.scoring.published import load_published
from unscheduled.scoring.scored import NOTHING_READ, score_group
from unscheduled.scoring.what_if import read_assumptions, what_if

from .test_rolling import scored_group
from .test_score_script import score

V2, V1 = "schedule_free_adamw_v2", "schedule_free_adamw"
JAX, JAX_V2 = "schedule_free_adamw_jax", "schedule_free_adamw_jax_v2"
LM = f"{V2}/finewebedu_lm=57000steps"
OGBG = f"{V2}/ogbg={V1}"
BEST = f"{V2}/all={V2},{V1},{JAX},{JAX_V2}"
RESNET = "imagenet_resnet=60000s"
SPEECH = [f"{JAX}/librispeech_conformer=60000s", f"{JAX}/librispeech_deepspeech=50000s"]


@pytest.fixture(scope="module")
def scored():
    return scored_group()


def would_be(scored, *texts):
    return what_if(scored, read_assumptions(texts), n_resamples=100)


@pytest.mark.parametrize(
    ("texts", "known"),
    [
        ([LM], 0.65),
        ([LM, OGBG], 0.71),
        ([BEST], 0.84),
        ([BEST, f"{V2}/{RESNET}"], 0.95),
        ([LM, OGBG, f"{V2}/{RESNET}", f"{V2}/imagenet_vit=85000s"], 0.92),
        ([f"{JAX}/all={JAX},{JAX_V2}", f"{JAX}/{RESNET}", *SPEECH], 0.85),
    ],
)
def test_known_answers(scored, texts, known):
    """A setting that nobody ran would get another score than is known of it."""
    found = would_be(scored, *texts)
    name = texts[0].partition("/")[0]
    assert found.before[V2] == pytest.approx(0.5679, abs=5e-5)
    assert found.after[name] == pytest.approx(known, abs=5e-3)  # as it is rounded
    interval = found.intervals[name].interval
    assert interval.low <= found.after[name] <= interval.high
    assert next(iter(found.after)) == name  # best first


def test_six_percent(scored):
    """A faster step would be worth the same everywhere."""
    fast = would_be(scored, f"{V2}/wmt=ms*0.94", f"{V2}/imagenet_resnet=ms*0.45")
    wmt, resnet = fast.changes
    assert wmt.score == pytest.approx(fast.before[V2], abs=1e-12)  # the fastest there
    before_sec, after_sec = wmt.times_sec["wmt"]
    assert after_sec == pytest.approx(0.94 * before_sec)
    assert resnet.score - fast.before[V2] == pytest.approx(1 / 9)  # all of a workload
    missed, sec = resnet.times_sec["imagenet_resnet"]
    assert math.isinf(missed)
    assert sec == pytest.approx(195999 * 0.45 * 0.824, rel=5e-3)  # its 824 ms a step
    assert not would_be(scored, f"{V2}/imagenet_resnet=ms*0.94").changes[0].times_sec


def test_six_percent_of_former_times():
    """A step that is 6% faster would not win what a step was 3% too slow for."""
    benchmark, published = (
        load_benchmark(BENCHMARKS["0.6"]),
        load_published("0.6", "self"),
    )
    rules = ruleset("self", "0.6")
    former = score_group(NOTHING_READ, benchmark, rules, published=published)
    found = would_be(former, f"{V2}/imagenet_resnet=ms*0.94", f"{V2}/wmt=ms*0.94")
    assert found.before[V2] == pytest.approx(0.75)
    assert [change.score for change in found.changes] == pytest.approx([0.875, 0.75])


def test_factors(scored):
    """A factor would change what it does not stand for, or save a hopeless run."""
    (steps,) = would_be(scored, f"{V2}/ogbg=steps*0.5").changes
    before_sec, after_sec = steps.times_sec["ogbg"]
    assert after_sec == pytest.approx(before_sec / 2)
    (slow,) = would_be(scored, f"{V2}/librispeech_conformer=ms*2").changes
    assert math.isinf(slow.times_sec["librispeech_conformer"][1])  # over the budget
    (hopeless,) = would_be(scored, f"{V2}/finewebedu_lm=steps*0.01").changes
    assert not hopeless.times_sec  # time was not what it lacked


def test_one_after_another(scored):
    """Assumptions on one cell would not add up, or count alone as if together."""
    found = would_be(scored, OGBG, f"{V2}/ogbg=ms*0.5")
    times = {r.submission: r.time_sec for r in scored.results if r.workload == "ogbg"}
    assert found.changes[0].times_sec["ogbg"] == (times[V2], times[V1])
    assert found.changes[1].times_sec["ogbg"][1] == pytest.approx(times[V2] / 2)
    both = would_be(scored, f"{V2}/ogbg={times[V1] / 2:.6f}s")
    assert found.after[V2] == pytest.approx(both.after[V2], abs=1e-12)


def test_others_move_too(scored):
    """The fastest of the group would stay the fastest, whatever is assumed."""
    found = would_be(scored, f"{V2}/ogbg=1000s")
    assert found.after["muon_torch"] < found.before["muon_torch"]


def test_file(scored, tmp_path):
    """A set of assumptions could not be kept."""
    path = tmp_path / "settings.txt"
    path.write_text(f"# with its twin's LM\n{LM}\n\n{OGBG}  # and v1's ogbg\n")
    assert read_assumptions([str(path)]) == read_assumptions([LM, OGBG])
    with pytest.raises(UserError, match="nowhere can't be read"):
        read_assumptions(["nowhere"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ogbg=3640s", "is no assumption: give SUBMISSION/WORKLOAD=WHAT"),
        (f"{V2}/ogbg=", "is no assumption"),
        ("v3/ogbg=3640s", "no submission 'v3', choose from ademamix"),
        (f"{V2}/ogb=3640s", "no workload 'ogb', choose from criteo1tb"),
        (f"{V2}/ogbg=v3", "no submission 'v3'"),
        (f"{V2}/ogbg=ms*0", "0 is not above 0"),
        (f"{V2}/ogbg=1.2.3s", "no submission '1.2.3s'"),
        (f"{V2}/imagenet_resnet=80000s", "imagenet_resnet has 74877 s"),
        (f"{V2}/ogbg=ms*-1", "no submission 'ms"),
    ],
)
def test_what_cannot_be_assumed(scored, text, message):
    """A slip would be scored as something else."""
    with pytest.raises(UserError, match=message.replace("*", "[*]")):
        would_be(scored, text)


def test_a_workload_that_was_not_run(scored):
    """A submission's cell that is empty could not be assumed, or would crash."""
    studies = {
        rule: [s for s in of if (s.submission, s.workload) != (V2, "wmt")]
        for rule, of in scored.published.studies.items()
    }
    lacking = score_group(
        NOTHING_READ,
        scored.benchmark,
        scored.ruleset,
        published=replace(scored.published, studies=studies),
    )
    found = would_be(lacking, f"{V2}/wmt=10325.45705485344s")
    assert found.after[V2] == pytest.approx(0.5679, abs=5e-5)
    assert math.isnan(found.changes[0].times_sec["wmt"][0])
    with pytest.raises(UserError, match="there are no studies of wmt"):
        would_be(lacking, f"{V2}/wmt=ms*0.5")


def test_script():
    """The command would print other scores than it computes."""
    arguments = ["--against=published:rolling", f"--what_if={LM}", f"--why={V2}"]
    output = score(*arguments).stdout
    rows = [line.split() for line in output.splitlines() if line.strip()]
    assert [V2, "published", "0.5679", "6/9"] in rows
    assert [LM, "finewebedu_lm", "missed", "22567.32", "0.6515", "+0.0836"] in rows
    (together,) = (row for row in rows if row[:3] == [V2, "0.6515", "0.5679"])
    assert together[4] == "to"
    assert f"{V2} is the fastest on fastmri, wmt. It loses 0.111 on" in output
    assert "not enough progress in 2.2x the steps needed, 3.7% short" in output
    assert ["wmt", "pytorch", "147", "137", "178", "8"] in rows
    found = json.loads(score(*arguments[:2], "--format=json").stdout)
    (assumed,) = found["what_if"]["assumptions"]
    assert (assumed["text"], assumed["workload"]) == (LM, "finewebedu_lm")
    assert assumed["times_sec"][0]["before"] is None
    best = found["what_if"]["scores"][0]
    assert (best["submission"], best["score"]) == (V2, assumed["score_alone"])
    assert best["interval"]["low"] < 0.6515 < best["interval"]["high"]
    cells = {(c["submission"], c["workload"]): c for c in found["cells"]}
    assert cells[V2, "imagenet_resnet"]["verdict"] == "too_slow"
    assert cells[V2, "imagenet_resnet"]["why"].startswith("too slow: would need 2.2x")
    assert len(found["frameworks"]) == 9 * 2
