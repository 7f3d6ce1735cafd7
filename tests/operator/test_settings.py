import pytest

from octavo_operator.observed import GatewayDefaults
from octavo_operator.settings import Settings

IMAGES = {"OCTAVO_ENGINE_IMAGE": "e", "OCTAVO_GATEWAY_IMAGE": "g"}


def test_the_environment_is_enough() -> None:
    environment = {
        "OCTAVO_ENGINE_IMAGE": "octavo/engine:1",
        "OCTAVO_GATEWAY_IMAGE": "octavo/operator:1",
        "OCTAVO_GATEWAY_REPLICAS": "3",
        "OCTAVO_GATEWAY_TLS_SECRET": "certificate",
        "OCTAVO_MODEL_ROOT": "/srv/models",
        "OCTAVO_HUB_ENDPOINT": "https://hub.example",
        "OCTAVO_PROMETHEUS_URL": "http://prometheus:9090",
        "OCTAVO_NAMESPACE": "octavo-system",
        "OCTAVO_WATCH_NAMESPACE": "team",
        "HOSTNAME": "octavo-operator-5d-x",
    }
    assert Settings.read([], environment) == Settings(
        engine_image="octavo/engine:1",
        model_root="/srv/models",
        hub_endpoint="https://hub.example",
        prometheus_url="http://prometheus:9090",
        operator_namespace="octavo-system",
        watch_namespace="team",
        pod_name="octavo-operator-5d-x",
        gateway=GatewayDefaults(image="octavo/operator:1", replicas=3, tls_secret="certificate"),
    )


def test_empty_variables_are_absent_ones() -> None:
    optional = ("MODEL_ROOT", "HUB_ENDPOINT", "PROMETHEUS_URL", "GATEWAY_REPLICAS", "GATEWAY_TLS_SECRET")
    optional += ("NAMESPACE", "WATCH_NAMESPACE", "LEASE_SECONDS", "METRICS_API")
    environment = IMAGES | {f"OCTAVO_{name}": "" for name in optional}
    assert Settings.read([], environment) == Settings(engine_image="e", gateway=GatewayDefaults(image="g"))


def test_the_metrics_api_is_switched_on_by_a_word() -> None:
    here = IMAGES | {"OCTAVO_NAMESPACE": "octavo-system"}
    assert not Settings.read([], here).metrics_api
    assert Settings.read([], here | {"OCTAVO_METRICS_API": "true"}).metrics_api
    assert not Settings.read([], here | {"OCTAVO_METRICS_API": "false"}).metrics_api
    assert Settings.read(["--metrics-api"], here).metrics_api
    assert not Settings.read(["--metrics-api", "false"], here | {"OCTAVO_METRICS_API": "true"}).metrics_api


def test_a_flag_wins_over_its_variable() -> None:
    assert Settings.read(["--engine-image", "b"], IMAGES).engine_image == "b"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "OCTAVO_ENGINE_IMAGE"),
        (["--engine-image", "e"], "OCTAVO_GATEWAY_IMAGE"),
        (["--engine-image", "e", "--gateway-image", "g", "--model-root", "models"], "absolute path"),
        (["--engine-image", "e", "--gateway-image", "g", "--gateway-replicas", "0"], "1 or more"),
        (["--engine-image", "e", "--gateway-image", "g", "--prometheus-url", "prometheus:9090"], "http://"),
        (["--engine-image", "e", "--gateway-image", "g", "--lease-seconds", "1"], "3 or more"),
        (["--engine-image", "e", "--gateway-image", "g", "--metrics-api"], "OCTAVO_NAMESPACE"),
        (["--engine-image", "e", "--gateway-image", "g", "--metrics-api", "yes"], "write true or false"),
    ],
)
def test_what_is_missing_or_wrong_is_said_in_a_sentence(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        Settings.read(arguments, {})
    assert words in capsys.readouterr().err
