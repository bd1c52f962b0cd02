"""What the workflows may do: run actions that cannot change under us, and publish without a password."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

GITHUB = Path(__file__).parents[2] / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))


def load(path: Path) -> dict[str, Any]:
    """A YAML file; ``on`` is the one word that YAML reads as true."""
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_an_action_is_pinned_to_a_commit(path: Path) -> None:
    """Every action is named by a full commit hash, with its version as a comment."""
    used = re.findall(r"uses: (.+)", path.read_text(encoding="utf-8"))
    assert used
    assert [action for action in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action)] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_checkout_keeps_no_credentials(path: Path) -> None:
    """No step after a checkout finds the job's token in the repository's configuration."""
    steps = [step for job in load(path)["jobs"].values() for step in job["steps"]]
    checkouts = [step for step in steps if step.get("uses", "").startswith("actions/checkout@")]
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_the_release_publishes_what_was_built_and_attested() -> None:
    """The job that publishes runs no code of ours, holds no password, and comes after the attestation."""
    jobs = load(GITHUB / "workflows" / "release.yml")["jobs"]
    publish = jobs["publish"]
    assert (publish["needs"], jobs["attest"]["needs"]) == ("attest", "build")
    assert (publish["environment"], publish["permissions"]) == ("release", {"id-token": "write"})
    assert not [step for step in publish["steps"] if "run" in step]
    assert not [step for step in publish["steps"] if "password" in step.get("with", {})]


@pytest.mark.parametrize("name", ["bug", "feature"])
def test_an_issue_form_is_complete(name: str) -> None:
    """A form has a name, a description and fields with ids of their own."""
    form = load(GITHUB / "ISSUE_TEMPLATE" / f"{name}.yml")
    ids = [field["id"] for field in form["body"] if field["type"] != "markdown"]
    assert form["name"]
    assert form["description"]
    assert len(ids) == len(set(ids)) > 0
