"""The benchmarks of cost growth, streaming and start-up: they run, and judge growth rightly."""

import json
import re
import subprocess
import sys

import cost_growth
import growth_tables
import pytest
import startup
import streaming
import vae_cpu
from growth_figure import draw
from matplotlib.image import imread
from metered import metered

SIZES = [1000, 10_000, 100_000]


def _stage(seconds, peak):
    return {"jobs": 1, "cpu_seconds": seconds, "peak_bytes": int(peak), "own_bytes": int(peak / 2)}


@pytest.fixture
def grown():
    """Three runs: one stage proportional beside its start, one quadratic, one constant."""
    runs = [
        {
            "galaxies": n,
            "stages": {
                "train-flow": _stage(2 + 1e-3 * n, 4e8),
                "leakage": _stage(1 + 1e-8 * n**2, 1e8 + 2e4 * n),
                "table1": _stage(0.5, 1e8),
            },
        }
        for n in SIZES
    ]
    return {"runs": runs, "starts": {}}


def test_a_line_beside_a_fixed_cost_is_found_exactly():
    line = growth_tables.straight_line(SIZES, [2 + 1e-3 * n for n in SIZES])
    assert line.fixed == pytest.approx(2) and line.each == pytest.approx(1e-3)
    assert abs(line.off) < 1e-6


def test_what_bends_is_told_with_its_sign():
    up = growth_tables.straight_line(SIZES, [1e-8 * n**2 for n in SIZES])
    down = growth_tables.straight_line(SIZES, [n**0.5 for n in SIZES])
    slightly = growth_tables.straight_line(SIZES, [n**1.05 for n in SIZES])
    assert up.off > growth_tables.WITHIN and down.off < -growth_tables.WITHIN
    assert 0.03 < slightly.off < growth_tables.WITHIN
    assert up.fixed >= 0 and down.each > 0


def test_what_a_galaxy_more_costs_is_compared_where_noise_lets_see_it():
    ratio = growth_tables.marginal_ratio
    assert ratio(SIZES, [2 + 1e-3 * n for n in SIZES]) == pytest.approx(1)
    # (10^10 - 10^8) / 90,000 over (10^8 - 10^6) / 9000: ten
    assert ratio(SIZES, [1e-8 * n**2 for n in SIZES]) == pytest.approx(10)
    assert ratio([1, 2, 3, 4], [1, 3, 4.5, 7.5]) == pytest.approx(1.5)  # the ends, not the middle
    assert ratio(SIZES[:2], [1, 2]) is None
    low, high = 1 / (1 - growth_tables.VISIBLE) + 0.01, 1 / (1 - growth_tables.VISIBLE) - 0.01
    assert ratio(SIZES, [1, low, 9]) is not None and ratio(SIZES, [1, high, 9]) is None
    assert ratio(SIZES, [1, 9, 9 * low]) is not None and ratio(SIZES, [1, 9, 9 * high]) is None
    assert ratio(SIZES, [1, 9, 5]) is None


def test_a_bend_that_a_free_fixed_cost_hides_is_seen_in_the_cost_of_a_galaxy():
    seconds = [2.4, 5.1, 46.1]
    assert growth_tables.straight_line(SIZES, seconds).off < growth_tables.WITHIN
    assert growth_tables.marginal_ratio(SIZES, seconds) == pytest.approx(1.52, abs=0.01)


def test_the_cold_start_is_told_by_the_clock_as_well():
    way = {"cpu_best": 0.1, "cpu_median": 0.2, "wall_best": 0.3, "wall_median": 0.4}
    cold = {key: 10 * value for key, value in way.items()}
    result = {
        "commands": {"x": {"warm": way, "cold": cold}},
        "stages": {"y": {"cpu_seconds": 0.5}},
    }
    head, _, command, stage = growth_tables.startup(result).splitlines()
    assert command == "| `x` | 0.100 | 0.200 | 1.000 | 2.000 | 3.000 | 4.000 |"
    assert head.count("|") == stage.count("|") == command.count("|")


def test_the_table_shows_large_and_growing_stages_and_all_of_them(grown):
    rows = [line.split(" | ") for line in growth_tables.growth(grown).splitlines()]
    assert [row[0].strip("| ") for row in rows[2:]] == [
        "train-flow",
        "leakage",
        "the other 1 stages",
        "**all**",
    ]
    assert rows[2][1] == "3.0 / 12.0 / 102" and rows[2][4:6] == ["+0%", "1.00"]
    assert rows[3][5:7] == ["10.00", "120 / 300 / 2100"]
    assert rows[4][5] == "–"
    assert rows[5][1] == "4.5 / 14.5 / 204"


@pytest.mark.slow
def test_the_figure_has_a_row_a_set(grown, tmp_path):
    draw({"photometry": grown}, tmp_path / "one.png")
    draw({"photometry": grown, "images": grown}, tmp_path / "two.png")
    one, two = (imread(tmp_path / name).shape[:2] for name in ("one.png", "two.png"))
    assert two[0] == 2 * one[0] and two[1] == one[1] > 1400


def test_the_meter_counts_memory_time_and_failure():
    code = "import sys; x = bytearray(80_000_000); sum(range(30_000_000)); sys.exit(3)"
    run = metered([sys.executable, "-c", code])
    assert run["returncode"] == 3
    assert run["peak_bytes"] > 8e7 and run["cpu_seconds"] > 0
    assert run["own_bytes"] is None or 8e7 < run["own_bytes"] <= run["peak_bytes"]


def test_jobs_of_a_stage_add_up():
    command = ["python", "-m", "mgsflow.cli", "stamps", "--out", "x"]
    job = {"command": command, "cpu_seconds": 2.0, "wall_seconds": 3.0, "returncode": 0}
    jobs = [job | {"peak_bytes": peak, "own_bytes": own} for peak, own in ((5, None), (7, 4))]
    both = cost_growth.by_stage(jobs)["stamps"]
    expected = {"jobs": 2, "cpu_seconds": 4, "wall_seconds": 6, "peak_bytes": 7, "own_bytes": 4}
    assert both == expected


def test_settings_join_section_by_section():
    base = {"flows": {"members": 2, "epochs": 3}, "run": "a"}
    joined = cost_growth.joined(base, {"flows": {"epochs": 9}}, {"run": "b"})
    assert joined == {"flows": {"members": 2, "epochs": 9}, "run": "b"}
    assert base["flows"]["epochs"] == 3
    shards = [cost_growth.overlay("images", n, False)["stamps"]["shards"] for n in (300, 5000)]
    assert shards == [1, 5]


def _run(galaxies, cores, seconds=1.0):
    return {
        "galaxies": galaxies,
        "machine": {"cores": cores},
        "commit": None,
        "settings": {"flows": {"epochs": 3}},
        "until": [],
        "stages": {"select": _stage(seconds, 1e8)},
    }


def test_runs_of_one_machine_join_and_a_size_measured_again_is_replaced(capsys):
    former = {"runs": [_run(10, 2), _run(100, 2)], "starts": {"select": 1}}
    both = cost_growth.with_run(former, _run(10, 2, seconds=7.0))
    assert both == {"runs": [_run(10, 2, seconds=7.0), _run(100, 2)], "starts": {"select": 1}}
    assert cost_growth.with_run({}, _run(10, 2)) == {"runs": [_run(10, 2)], "starts": {}}
    assert capsys.readouterr().err == ""


def test_runs_of_another_machine_are_left_out_and_named(capsys):
    unknown = {key: value for key, value in _run(50, 2).items() if key != "machine"}
    former = {"runs": [_run(10, 2), unknown, _run(100, 8)], "starts": {"select": 1}}
    found = cost_growth.with_run(former, _run(1000, 8))
    assert found == {"runs": [_run(100, 8), _run(1000, 8)], "starts": {}}
    told = capsys.readouterr().err
    assert "10 galaxies is left out" in told and "50 galaxies is left out" in told
    assert "100 galaxies is" not in told


@pytest.mark.parametrize(
    ("key", "value"),
    [("settings", {"flows": {"epochs": 9}}), ("commit", "abc"), ("until", ["select"])],
)
def test_runs_of_other_settings_code_or_rules_are_left_out_and_named(capsys, key, value):
    former = {"runs": [_run(10, 2) | {key: value}, _run(100, 2)], "starts": {"select": 1}}
    found = cost_growth.with_run(former, _run(1000, 2))
    assert found == {"runs": [_run(100, 2), _run(1000, 2)], "starts": {}}
    told = capsys.readouterr().err
    assert "10 galaxies is left out" in told and str(value) in told and "100 gal" not in told


def test_a_run_names_the_commit_and_whether_its_source_was_changed(tmp_path):
    assert cost_growth.commit_of(tmp_path) is None
    author = ["-c", "user.name=a", "-c", "user.email=a@b"]
    (tmp_path / "x").write_text("1")
    for words in (["init", "-q"], ["add", "x"], [*author, "commit", "-qm", "x"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    clean = cost_growth.commit_of(tmp_path)
    assert len(clean) >= 12 and "dirty" not in clean
    (tmp_path / "x").write_text("2")
    assert cost_growth.commit_of(tmp_path) == f"{clean}-dirty"


def test_the_results_of_a_set_are_of_one_machine_and_of_its_settings(repository):
    result = json.loads((repository / "benchmarks/results/cost_growth.json").read_text())
    for name in cost_growth.SETS:
        machines = [run["machine"] for run in result[name]["runs"]]
        assert machines[0]["cores"] and all(each == machines[0] for each in machines)
        settings = cost_growth.settings_of(name, tiny=False)
        assert all(run["settings"] == settings for run in result[name]["runs"])
        assert len({run["commit"] for run in result[name]["runs"]}) == 1
        assert all(run["until"] == [] for run in result[name]["runs"])


@pytest.mark.slow
@pytest.mark.parametrize(("name", "rule"), [("photometry", "select"), ("images", "stamps")])
def test_a_run_is_measured_job_by_job(repository, tmp_path, name, rule):
    out = tmp_path / "growth.json"
    out.write_text('{"other": 1}')
    script = repository / "benchmarks" / "cost_growth.py"
    arguments = ["--set", name, "--galaxies", "60", "--until", rule, "--tiny", "--out", out]
    subprocess.run([sys.executable, script, *arguments, "--scratch", tmp_path], check=True)
    result = json.loads(out.read_text())
    (run,) = result[name]["runs"]
    stages, started = run["stages"], result[name]["starts"]
    assert run["machine"] == cost_growth.machine_here() and "commit" in run
    assert result["other"] == 1 and rule in stages and set(started) == set(stages)
    for stage, found in stages.items():
        assert found["cpu_seconds"] > 0.3 * started[stage]["cpu_seconds"]
        assert found["peak_bytes"] > 1e7
    assert [path.name for path in tmp_path.iterdir()] == ["growth.json"]


@pytest.mark.slow
def test_draws_are_streamed_and_rates_are_those_of_the_rows(repository, tmp_path):
    out = tmp_path / "streaming.json"
    script = repository / "benchmarks" / "streaming.py"
    subprocess.run([sys.executable, script, "--tiny", "--out", out], check=True)
    rows = json.loads(out.read_text())["rows"]
    assert [row["galaxies"] for row in rows] == [20, 60]
    numbers = 40 * 8 * 9 * 4  # bytes of draws that the second has more
    assert 0 <= rows[1]["bytes"] - rows[0]["bytes"] - numbers < 1e4

    made = [{"galaxies": n, "cpu_seconds": 3 + n / 100, "bytes": 10 * n} for n in (100, 1100)]
    rates = streaming.rates(made, 256)
    assert rates["galaxies_per_second"] == pytest.approx(100)
    assert rates["draws_per_second"] == pytest.approx(25_600)
    assert rates["bytes_per_second"] == pytest.approx(1000)
    assert rates["million_seconds"] == pytest.approx(10_003)
    assert rates["million_bytes"] == pytest.approx(1e7)


@pytest.mark.parametrize("most", [20_000, 1_000_000])
def test_a_million_galaxies_are_extrapolated_only_where_they_were_not_measured(most):
    row = {"cpu_seconds": 1234.0, "bytes": 5e9, "peak_bytes": 5e8, "own_bytes": 3e8}
    result = {"draws": 256, "million_seconds": 9876.0, "million_bytes": 9e9}
    table = growth_tables.streaming(result | {"rows": [row | {"galaxies": most}]})
    assert f"| {most:,} | 1,234 | 5,000 | 500 | 300 |" in table
    assert ("1,000,000, extrapolated | 9,876" in table) == (most < 1_000_000)


def _commands(text):
    """The benchmarks' command lines of a script or a page, as from the repository's top."""
    lines = (line.strip() for line in text.splitlines())
    found = [line for line in lines if re.match(r"python (benchmarks/)?\w+\.py", line)]
    return [
        line.replace("benchmarks/", "").replace('"$results/', "results/").replace('"', "")
        for line in found
    ]


def _sizes(command):
    return [int(n) for n in re.search(r"--galaxies ([\d ]+)", command)[1].split()]


def test_the_page_and_the_script_have_the_commands_that_give_the_tables(repository):
    benchmarks = repository / "benchmarks"
    page, script = (repository / "docs/performance.md"), benchmarks / "run.sh"
    block = page.read_text().split("```")[1]
    commands = _commands(script.read_text())
    assert len(commands) >= 11 and _commands(block) == commands

    grown = json.loads((benchmarks / "results/cost_growth.json").read_text())
    for name in cost_growth.SETS:
        (command,) = (line for line in commands if f"--set {name}" in line)
        assert _sizes(command) == [run["galaxies"] for run in grown[name]["runs"]]
        assert f"{command.replace('python ', 'python benchmarks/')}\n" in cost_growth.__doc__
    (command,) = (line for line in commands if "vae_cpu.py" in line)
    trained = json.loads((benchmarks / "results/vae_cpu.json").read_text())
    assert "--stamps" not in command and trained["settings"]["stamps"] == vae_cpu.STAMPS
    streamed = json.loads((benchmarks / "results/streaming.json").read_text())
    (command,) = (line for line in commands if "streaming.py" in line)
    assert _sizes(command) == [row["galaxies"] for row in streamed["rows"]]


@pytest.mark.slow
def test_starts_are_measured_warm_and_cold(repository, tmp_path):
    out = tmp_path / "startup.json"
    script = repository / "benchmarks" / "startup.py"
    subprocess.run([sys.executable, script, "--tiny", "--out", out], check=True)
    result = json.loads(out.read_text())
    assert set(result["commands"]) == set(startup.COMMANDS)
    for found in result["commands"].values():
        # compiling costs CPU time, whatever else the machine does
        assert found["cold"]["cpu_best"] > found["warm"]["cpu_best"] > 0
    assert result["stages"]["select"]["peak_bytes"] > 5e7
    assert growth_tables.startup(result).count("\n") == 4
