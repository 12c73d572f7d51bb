"""The files of deploy/, by the validators of their formats, and against one another."""

import pathlib
import re
import subprocess
import sys

import pytest

from tests.serving.proxy import ROOT

yaml = pytest.importorskip("yaml")
COMPOSE = ROOT / "deploy/compose.yaml"
KUBERNETES = ROOT / "deploy/kubernetes.yaml"


@pytest.fixture(scope="module")
def services():
    return yaml.safe_load(COMPOSE.read_text())["services"]


@pytest.fixture(scope="module")
def resources():
    found = list(yaml.safe_load_all(KUBERNETES.read_text()))
    return {item["kind"]: item for item in found}


@pytest.fixture(scope="module")
def containers(resources):
    pod = resources["Deployment"]["spec"]["template"]["spec"]
    return {container["name"]: container for container in pod["containers"]}


def test_compose_follows_the_schema_of_the_compose_specification():
    pytest.importorskip("check_jsonschema")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    result = subprocess.run([*command, COMPOSE], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def test_kubernetes_accepts_each_resource(resources):
    validator = pytest.importorskip("kubernetes_validate")
    for resource in resources.values():
        # Strict: unknown fields are refused, not ignored.
        validator.validate(resource, validator.latest_version(), strict=True)
    assert set(resources) >= {
        "Deployment",
        "Service",
        "HorizontalPodAutoscaler",
        "NetworkPolicy",
    }


def test_the_names_in_the_kubernetes_file_fit(resources, containers):
    deployment = resources["Deployment"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    assert resources["Service"]["spec"]["selector"] == labels
    assert resources["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == labels
    target = resources["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", deployment["metadata"]["name"])
    volumes = {item["name"] for item in deployment["spec"]["template"]["spec"]["volumes"]}
    ports = set()
    for container in containers.values():
        assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
        ports |= {port["name"] for port in container["ports"]}
    assert {port["targetPort"] for port in resources["Service"]["spec"]["ports"]} <= ports
    metrics = resources["HorizontalPodAutoscaler"]["spec"]["metrics"]
    assert {metric["containerResource"]["container"] for metric in metrics} <= set(containers)


def test_both_run_tf_serving_with_the_same_flags(services, containers):
    flags = services["tf-serving-gpu"]["command"]
    assert flags == services["tf-serving-cpu"]["command"] == containers["tf-serving"]["args"]
    flags = dict(flag.removeprefix("--").partition("=")[::2] for flag in flags)
    for name in ("models", "batching", "monitoring"):
        (flag,) = [flag for flag, value in flags.items() if value == f"/models/{name}.config"]
        assert (ROOT / "saved_models" / f"{name}.config").exists(), flag
    # The proxy must not give up before the server does.
    seconds = int(flags["rest_api_timeout_in_ms"]) / 1000
    waits = [
        int(wait)
        for name in ("nginx.conf", "grpc.conf")
        for wait in re.findall(r"read_timeout (\d+)s;", (ROOT / "deploy" / name).read_text())
    ]
    assert len(waits) == 2 and min(waits) > seconds


def test_requests_under_way_are_finished(services, resources, containers):
    waits = {
        int(wait)
        for name in ("nginx.conf", "grpc.conf")
        for wait in re.findall(r"read_timeout (\d+)s;", (ROOT / "deploy" / name).read_text())
    }
    proxy = services["proxy"]
    minutes, seconds = re.fullmatch(r"(\d+)m(\d+)s", proxy["stop_grace_period"]).groups()
    assert 60 * int(minutes) + int(seconds) > max(waits)
    # nginx would hang up at SIGTERM.
    assert proxy["stop_signal"] == "SIGQUIT"
    for name, condition in proxy["depends_on"].items():
        # Stopped after the proxy, at once; as process 1 it would ignore the signal.
        assert services[name]["init"] and "stop_grace_period" not in services[name]
        # nginx has the address of the old container.
        assert condition["restart"]
    assert set(proxy["depends_on"]) == set(services) - {"proxy"}
    pod = resources["Deployment"]["spec"]["template"]["spec"]
    for container in containers.values():
        _, pause = container["lifecycle"]["preStop"]["exec"]["command"]
        assert pod["terminationGracePeriodSeconds"] >= int(pause) + max(waits)


def test_nobody_runs_as_root_or_writes_models(services, resources, containers):
    for name, service in services.items():
        assert not service["user"].startswith("0"), name
        assert service["read_only"] and service["cap_drop"] == ["ALL"], name
        assert all(volume["read_only"] for volume in service["volumes"]), name
        assert "privileged" not in service
    assert resources["Deployment"]["spec"]["template"]["spec"]["securityContext"]["runAsNonRoot"]
    for container in containers.values():
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert not container["securityContext"]["allowPrivilegeEscalation"]
        for mount in container["volumeMounts"]:
            assert mount["mountPath"] == "/tmp" or mount["readOnly"], mount


def test_the_model_server_is_reached_through_the_proxy_alone(services, resources):
    backend = yaml.safe_load(COMPOSE.read_text())["networks"]["backend"]
    assert backend == {"internal": True}
    for name, service in services.items():
        if name == "proxy":
            assert len(service["ports"]) == 1 and service["ports"][0].endswith(":8443")
        else:
            assert "ports" not in service and list(service["networks"]) == ["backend"]
    (port,) = resources["Service"]["spec"]["ports"]
    assert port["targetPort"] == "https"


def test_what_is_mounted_exists(services):
    for service in services.values():
        for volume in service["volumes"]:
            source = volume["source"].replace("${MODELS:-../saved_models}", "../saved_models")
            if source != "./secrets":
                assert (COMPOSE.parent / source).exists(), source


def test_the_gpu_is_asked_for(services, containers):
    (device,) = services["tf-serving-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]
    assert services["tf-serving-gpu"]["image"].endswith("-gpu")
    assert services["tf-serving-gpu"]["environment"]["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"
    assert "deploy" not in services["tf-serving-cpu"]
    assert containers["tf-serving"]["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert {"name": "TF_FORCE_GPU_ALLOW_GROWTH", "value": "true"} in containers["tf-serving"]["env"]


def test_the_proxy_serves_each_file_of_the_page():
    text = (ROOT / "deploy/nginx.conf").read_text()
    (pattern,) = re.findall(r"location ~ (\^/\(index.*\$) \{", text)
    for path in pathlib.Path(ROOT, "kgen/serving/page").iterdir():
        assert re.match(pattern, f"/{path.name}"), path.name
    assert re.match(pattern, "/") and not re.match(pattern, "/models.config")
