"""config/deploy/kubernetes: built by kustomize, held against the schemas."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from relay import __version__
from relay.config.settings import Service
from tests.deploy.settings_check import DEPLOY, check_settings
from tests.fakes.programs import require_program
from tests.fakes.python_peers import peers_python, read_yaml
from tests.interop.clients_run import run

VARIANTS = ("sidecar", "shared")
# The first with sidecars that are on without asking, and the newest that there are schemas of.
VERSIONS = ("1.29", "1.37")

Object = Mapping[str, Any]


def _built(variant: str) -> str:
    argv = [require_program("kubectl", "kubernetes-client"), "kustomize"]
    done = subprocess.run(
        [*argv, str(DEPLOY / "kubernetes" / variant)], capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.fixture(params=VARIANTS)
def variant(request: pytest.FixtureRequest) -> str:
    """Each folder."""
    return str(request.param)


@pytest.fixture
def objects(variant: str) -> list[Object]:
    """What `kubectl apply -k` would send."""
    return read_yaml(_built(variant))


@pytest.mark.parametrize("version", VERSIONS)
def test_each_object_fits_its_schema(variant: str, version: str, tmp_path: Path) -> None:
    """Strictly: a field that Kubernetes does not know is a fault too."""
    file = tmp_path / "objects.yaml"
    file.write_text(_built(variant))
    argv = [peers_python(), "-m", "kubernetes_validate", "--strict", "-k", version, str(file)]
    done = run(argv)
    assert done.status == 0, done


def test_pods_are_restricted(objects: list[Object]) -> None:
    """What the Pod Security Standard "restricted" asks for, and a root that nobody writes to."""
    pod = _pod(objects)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in _containers(pod):
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
    assert _relay(pod)["securityContext"]["readOnlyRootFilesystem"] is True
    assert all("secret" in volume or "configMap" in volume for volume in pod["volumes"])


def test_mounted_keys_can_be_read(objects: list[Object]) -> None:
    """By the pod's group and by nobody else: a key that others can read is not used."""
    pod = _pod(objects)
    assert pod["securityContext"]["fsGroup"] > 0
    modes = {v["name"]: v["secret"]["defaultMode"] for v in pod["volumes"] if "secret" in v}
    assert set(modes.values()) == {0o440}
    mounts = {mount["mountPath"]: mount["name"] for mount in _relay(pod)["volumeMounts"]}
    assert mounts["/keys/example.com"] in modes


def test_the_relay_finds_its_settings_good(
    variant: str, objects: list[Object], tmp_path: Path
) -> None:
    """Its variables and its file, with the secrets where they are mounted."""
    container = _relay(_pod(objects))
    variables = {one["name"]: one.get("value", "from a Secret") for one in container["env"]}
    file = next((one["data"]["relay.toml"] for one in objects if one["kind"] == "ConfigMap"), "")
    assert bool(file) == (variant == "shared")
    done = check_settings(tmp_path, variables, file=file)
    assert (done.status, done.errors) == (0, "The settings are good.\n"), done


def test_it_has_time_to_drain(objects: list[Object]) -> None:
    """Whatever runs before SIGTERM counts against the same time."""
    pod = _pod(objects)
    command = _relay(pod).get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command")
    before = int(command[-1]) if command else 0
    assert pod["terminationGracePeriodSeconds"] > before + Service().drain_seconds


def test_names_lead_somewhere(objects: list[Object]) -> None:
    """Selectors select the pods; ports have names that exist; the image is this version."""
    [deployment] = [one for one in objects if one["kind"] == "Deployment"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    container = _relay(_pod(objects))
    ports = {port["name"] for port in container["ports"]}
    assert container["image"] == f"dkim-relay:{__version__}"
    probes = [container[name] for name in container if name.endswith("Probe")]
    assert {probe["httpGet"]["port"] for probe in probes} <= ports
    for one in objects:
        match one["kind"]:
            case "Service":
                assert one["spec"]["selector"].items() <= labels.items()
                assert {port["targetPort"] for port in one["spec"]["ports"]} <= ports
            case "PodDisruptionBudget":
                assert one["spec"]["selector"]["matchLabels"].items() <= labels.items()
            case "NetworkPolicy":
                assert one["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
                rules = one["spec"]["ingress"]
                assert {port["port"] for rule in rules for port in rule["ports"]} <= ports
            case "HorizontalPodAutoscaler":
                assert one["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
            case _:
                assert one["kind"] in ("ConfigMap", "Deployment")


def _pod(objects: list[Object]) -> Object:
    [deployment] = [one for one in objects if one["kind"] == "Deployment"]
    pod: Object = deployment["spec"]["template"]["spec"]
    return pod


def _containers(pod: Object) -> Iterator[Object]:
    yield from pod.get("initContainers", [])
    yield from pod["containers"]


def _relay(pod: Object) -> Object:
    [container] = [one for one in _containers(pod) if one["name"] == "dkim-relay"]
    return container
