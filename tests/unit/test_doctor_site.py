"""The doctor on software, disk, memory and services."""

from __future__ import annotations

import os
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pytest
from fake_site import Programs, request, site

from mgsflow.config import Sdss, validate
from mgsflow.core.errors import UserError
from mgsflow.estimate import estimate
from mgsflow.site import checks_deployment, checks_machine
from mgsflow.site import containers as images
from mgsflow.site.checks_services import judge_services, service_urls
from mgsflow.site.deployment import in_environment
from mgsflow.site.probe import ask_service
from mgsflow.sky.addresses import skyserver_search


@pytest.fixture
def programs(tmp_path, monkeypatch) -> Programs:
    found = Programs(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{found.folder}:/usr/bin:/bin")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "envs/images").mkdir(parents=True)
    return found


@pytest.fixture
def good_images(monkeypatch):
    monkeypatch.setattr(checks_deployment, "check_images", lambda environments: iter(()))


def deployment(found, environments=("train",)):
    return list(checks_deployment.check_deployment(found, list(environments)))


def test_a_site_without_apptainer_is_told_of_conda(programs, monkeypatch):
    monkeypatch.setenv("PATH", str(programs.folder))
    (found,) = deployment(site())
    assert found.status == "failure"
    assert "apptainer is not on PATH" in found.seen
    assert "conda" in found.remedy
    programs.put("singularity", "exit 0")  # which builds no image of ours
    (found,) = deployment(site())
    assert found.status == "failure"


def test_a_checkout_whose_path_has_a_space_fails_with_apptainer(programs, tmp_path, monkeypatch):
    programs.put("apptainer", 'echo "apptainer version 1.4.5"')
    spaced = tmp_path / "my galaxies"
    spaced.mkdir()
    monkeypatch.chdir(spaced)
    (found,) = deployment(site())
    assert found.status == "failure"
    assert "my galaxies" in found.seen
    assert "Move the checkout" in found.remedy


def test_an_apptainer_that_runs_an_image_is_good(programs, good_images, tmp_path):
    programs.put("apptainer", 'echo "apptainer version 1.4.5"')
    (tmp_path / "envs/images/train.sif").touch()
    (found,) = deployment(site())
    assert found.status == "ok"
    assert "1.4.5; it runs envs/images/train.sif" in found.seen


def test_an_apptainer_that_cannot_run_an_image_fails(programs, good_images, tmp_path):
    programs.put(
        "apptainer",
        'if [ "$1" = exec ]; then echo "FATAL: could not create user namespace" >&2; exit 255; fi',
    )
    (tmp_path / "envs/images/train.sif").touch()
    (found,) = deployment(site())
    assert found.status == "failure"
    assert "could not create user namespace" in found.seen
    assert "apptainer-suid" in found.remedy


def test_an_apptainer_that_does_not_start_fails(programs, good_images):
    programs.say("apptainer", "cannot execute: no such library", code=1)
    (found,) = deployment(site())
    assert found.status == "failure"
    assert "no such library" in found.seen


def test_forbidden_namespaces_are_warned_of_before_there_is_an_image(
    programs, good_images, tmp_path, monkeypatch
):
    programs.put("apptainer", 'echo "apptainer version 1.4.5"')
    switch = tmp_path / "max_user_namespaces"
    monkeypatch.setattr(checks_deployment, "NAMESPACES", ((switch, "0"),))
    monkeypatch.setattr(checks_deployment, "SETUID_STARTERS", ())
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    switch.write_text("15000\n")
    assert deployment(site()) == []
    switch.write_text("0\n")
    (found,) = deployment(site())
    assert found.status == "warning"
    assert "may not create namespaces" in found.seen


def test_images_that_are_not_the_locked_ones_fail_with_the_checks_own_word(programs, monkeypatch):
    def check(folder, names):
        if verdict:
            raise UserError(verdict)

    monkeypatch.setattr(images, "check", check)
    verdict = "envs/images/train.sif: its digest is not that of images.lock\nBuild it."
    (found,) = checks_deployment.check_images(["train"])
    assert found.status == "failure"
    assert "its digest is not" in found.seen
    assert found.remedy.startswith("Build it.")
    verdict = ""
    (found,) = checks_deployment.check_images(["train"])
    assert found.status == "ok"


def test_a_cluster_profile_without_deployment_fails(programs, monkeypatch):
    monkeypatch.delenv("MGSFLOW_ENVIRONMENT", raising=False)
    (found,) = deployment(site(software_deployment_method=[]))
    assert found.status == "failure"
    assert "silently ignores" in found.seen
    monkeypatch.setenv("MGSFLOW_ENVIRONMENT", "active")
    (found,) = deployment(site(software_deployment_method=[]))
    assert found.status == "ok"


def test_conda_is_there_and_says_which_environments_are_not_made(programs, tmp_path, monkeypatch):
    conda = site(software_deployment_method=["conda"])
    monkeypatch.setenv("PATH", str(programs.folder))
    (found,) = deployment(conda)
    assert found.status == "failure"
    monkeypatch.setenv("PATH", f"{programs.folder}:/usr/bin:/bin")
    programs.put("conda", "echo conda 25.1")
    (tmp_path / "envs/train.yaml").write_text("dependencies: [python=3.11]\n")
    (found,) = deployment(conda)
    assert found.status == "warning"
    assert "not made yet: train" in found.seen
    made = tmp_path / ".snakemake/conda/abc_"
    (made / "bin").mkdir(parents=True)
    (made / "bin/python").touch()
    (made.parent / "abc_.yaml").write_text("dependencies: [python=3.11]\n")
    (found,) = deployment(conda)
    assert found.status == "ok"
    (tmp_path / "envs/train.yaml").write_text("dependencies: [python=3.12]\n")  # other pins now
    (found,) = deployment(conda)
    assert found.status == "warning"


def test_conda_environments_are_looked_for_where_the_profile_has_them_made(
    programs, tmp_path, monkeypatch
):
    programs.put("conda", "echo conda 25.1")
    (tmp_path / "envs/train.yaml").write_text("dependencies: [python=3.11]\n")
    python = tmp_path / "scratch/conda/abc_/bin/python"
    python.parent.mkdir(parents=True)
    python.touch()
    (tmp_path / "scratch/conda/abc_.yaml").write_text("dependencies: [python=3.11]\n")
    monkeypatch.setenv("SCRATCH", str(tmp_path / "scratch"))
    options = {"software_deployment_method": ["conda"], "conda_prefix": "$SCRATCH/conda"}
    (found,) = deployment(site(**options))
    assert found.status == "ok"
    assert str(python) in in_environment(site(**options), "train", "mgsflow.site.probe")


def free(monkeypatch, bytes_free):
    usage = SimpleNamespace(free=bytes_free)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)


def test_the_papers_disk_is_its_stamps_draws_and_downloads_in_work():
    paper = validate({})
    run = estimate(paper)
    needed = checks_machine.needed_disk(paper, jobs_at_once=16)
    draws = 250_000 * 0.6 * 0.3 * 1000 * 9 * 4 * 4  # four variants of nine quantities, 4 bytes
    stamps = run.stamp_bytes * (1 + 16 / 200)
    assert needed == pytest.approx(1.2 * (stamps + draws + 16 * 92.4e6 + 371e6), rel=1e-3)
    kept = validate({"network": {"keep_downloads": True}})
    assert checks_machine.needed_disk(kept, 16) > run.image_bytes
    assert checks_machine.needed_disk(validate({"sky": "simulated"}), 16) is None


def test_a_disk_that_is_too_small_fails(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    free(monkeypatch, 10e9)
    (found,) = checks_machine.check_disk(site())
    assert found.status == "failure"
    assert "10 GB free" in found.seen
    free(monkeypatch, 1e12)
    (found,) = checks_machine.check_disk(site())
    assert found.status == "ok"
    assert "quota" in found.seen


def test_memory_and_processors_of_one_machine(monkeypatch):
    small = site(request(memory=10**9), executor="local", cores=10**6)
    assert [found.status for found in checks_machine.check_machine(small)] == ["warning"] * 2
    fits = site(request(memory=1), executor="local", cores=1)
    assert [found.status for found in checks_machine.check_machine(fits)] == ["ok"] * 2


def test_only_the_services_that_a_run_asks_are_asked():
    def names(**config):
        return set(service_urls(validate(config)))

    assert names() == {"SkyServer", "Science Archive Server"}
    assert names(stamps={"provider": "legacy"}) == {"SkyServer", "Legacy Surveys' cutouts"}
    assert names(stamps={"provider": "jpeg"}) == {"SkyServer", "SkyServer's cutouts"}
    assert names(sdss={"reply_file": "sample.csv"}) == {"Science Archive Server"}
    assert names(sky="simulated") == set()
    own = {"path": "own.csv", "format": "csv"}
    assert names(sky="catalogue", catalogue=own) == {"Science Archive Server"}


@pytest.mark.parametrize("release", [8, 9, 10, 11, 12, 17])
def test_skyserver_is_asked_where_astroquery_asks_it(release):
    from astroquery.sdss import SDSS, conf

    sdss = Sdss(data_release=release, skyserver_url=conf.skyserver_baseurl)
    url = urlsplit(service_urls(validate({"sdss": sdss.model_dump()}))["SkyServer"])
    payload = SDSS.query_sql_async(
        "select top 1 specObjID from SpecObj", data_release=release, get_query_payload=True
    )
    asked = {name: values[0] for name, values in parse_qs(url.query).items()}
    assert asked == {name: value.strip() for name, value in payload.items()}
    assert url.path == urlsplit(SDSS._get_query_url(release)).path
    assert url.path == f"/{skyserver_search(release)}"


@pytest.fixture(scope="module")
def server():
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(int(self.path.strip("/").split("?")[0]))
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


@pytest.mark.parametrize(
    ("status", "verdict", "words", "remedy"),
    [
        (200, "ok", "answers from a100", ""),
        (404, "failure", "but 404", "data_release"),
        (403, "failure", "but 403", "data_release"),
        (503, "failure", "with 503", "try again later"),
        (None, "failure", "cannot be reached from a100", "No internet on compute nodes"),
    ],
)
def test_each_answer_of_a_service_is_judged(server, status, verdict, words, remedy):
    url = f"{server}/{status}?cmd=x" if status else "http://127.0.0.1:9/"
    (found,) = judge_services({"SkyServer": ask_service(url)}, "from a100")
    assert found.status == verdict
    assert words in found.seen
    assert "?cmd" not in found.seen
    assert remedy in found.remedy


def test_an_address_that_is_none_is_a_failure_not_a_crash():
    (found,) = judge_services({"SkyServer": ask_service("skyserver")}, "from here")
    assert found.status == "failure"
